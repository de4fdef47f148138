"""Concrete attacks, each with its designed refusal."""
