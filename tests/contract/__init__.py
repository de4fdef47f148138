"""What the wire promises, whatever is behind it."""
