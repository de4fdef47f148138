"""Log lines: one JSON object each, an event name and ids, in the file of the instance, beside Pulsar's own lines.

Never a token, the text of a message, or an exception's text, which may quote one.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from typing import Any, Final

LOGGER: Final = logging.getLogger("chat_functions")


class _Lines(logging.Formatter):
    """Ours; everybody else's as they were."""

    def __init__(self, others: logging.Formatter | None) -> None:
        super().__init__()
        self._others = others or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        if record.name != LOGGER.name:
            return self._others.format(record)
        fields: dict[str, Any] = getattr(record, "fields", {})
        line = {"time": int(record.created * 1000), "level": record.levelname.lower(), "event": record.msg, **fields}
        return json.dumps(line)


def configure() -> None:
    """From `info` on. Called once, when Pulsar has made its handlers."""
    LOGGER.setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Lines(handler.formatter))


def info(event: str, **fields: str | float) -> None:
    """Something an operator counts."""
    LOGGER.info(event, extra={"fields": fields})


def warning(event: str, **fields: str | float) -> None:
    """Something that an operator should look at."""
    LOGGER.warning(event, extra={"fields": fields})


def error(event: str, **fields: str | float) -> None:
    """Something that an operator must look at."""
    LOGGER.error(event, extra={"fields": fields})


def failure(event: str, cause: BaseException) -> None:
    """An exception: of each that is behind it, its class and the places it came through."""
    errors = [{"error": type(one).__name__, "where": _places(one)} for one in _leaves(cause)]
    LOGGER.error(event, extra={"fields": {"errors": errors}})


def _leaves(cause: BaseException) -> Iterator[BaseException]:
    if isinstance(cause, BaseExceptionGroup):
        for one in cause.exceptions:
            yield from _leaves(one)
    else:
        yield cause


def _places(cause: BaseException) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(cause.__traceback__)]
