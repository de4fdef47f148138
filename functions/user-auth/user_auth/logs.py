"""Log lines: one JSON object each, an event name and ids. Never a password, a token, or an exception's text."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from types import TracebackType
from typing import Any, Final

LOGGER: Final = logging.getLogger("user_auth")
PULSAR: Final = logging.getLogger("pulsar")
"""For Pulsar's client, which has words of its own: they become a field. They name addresses and topics, no content."""


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": int(record.created * 1000), "level": record.levelname.lower()}
        if record.name == PULSAR.name:
            return json.dumps({**line, "event": "pulsar_client", "text": record.getMessage()[:500]})
        fields: dict[str, Any] = getattr(record, "fields", {})
        return json.dumps({**line, "event": record.msg, **fields})


def configure() -> None:
    """Send our lines to stderr. Called once by the entry point; a second call changes nothing."""
    if LOGGER.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    for logger, level in ((LOGGER, logging.INFO), (PULSAR, logging.ERROR)):
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False


def info(event: str, **fields: str | int) -> None:
    """Something an operator counts."""
    LOGGER.info(event, extra={"fields": fields})


def warning(event: str, **fields: str | int) -> None:
    """Something that an operator should look at."""
    LOGGER.warning(event, extra={"fields": fields})


def failure(event: str, error: BaseException, **fields: str | int) -> None:
    """An exception: its class and the places it came through. Its text may quote a client, so it stays out."""
    where = _places(error.__traceback__)
    LOGGER.error(event, extra={"fields": {"error": type(error).__name__, "where": where, **fields}})


def _places(trace: TracebackType | None) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]
