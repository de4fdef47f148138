"""The terminal client: `chattifier chat`."""
