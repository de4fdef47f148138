"""The contract between the parts: every command, event, query and delivery, topic and Redis key names, token claims.

Imports pydantic only, and nothing of ours imports anything from here but these names.
"""
