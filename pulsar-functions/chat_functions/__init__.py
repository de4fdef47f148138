"""The Pulsar Functions: chat-router numbers and fans out, message-store persists, archive answers every read.

main.py holds what Pulsar calls. batching.py is what all three share. Then one noun a module: router, store, archive.
"""
