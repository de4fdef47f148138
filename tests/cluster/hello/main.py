"""An HTTP function that says hello."""

import flask


def hello(_request: flask.Request) -> str:
    """Say it."""
    return "hello"
