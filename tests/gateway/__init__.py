"""The socket gateway: frames and hub by themselves, sockets on the real stack."""
