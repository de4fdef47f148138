"""The edge: one public port in front of everything, on the running stack."""
