"""The logs of everything that ran: read last of all."""
