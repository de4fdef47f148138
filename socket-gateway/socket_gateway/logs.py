"""Logs: one JSON object a line on stderr. Event names and ids; never a token, never the text of a message.

Nor the text of an exception, which may quote one: its class, and the places it came through.
"""

from __future__ import annotations

import logging
import sys
import traceback

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger


def configure() -> None:
    """Ours from `info` on, those of libraries from `warning` on."""
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _places,
    ]
    render = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=render, foreign_pre_chain=shared))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _places(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    failed = line.pop("exc_info", None)
    error = sys.exc_info()[1] if failed is True else failed[1] if isinstance(failed, tuple) else failed
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]  # of a group of tasks: what ended it
    if isinstance(error, BaseException):
        line["error"] = type(error).__name__
        frames = traceback.extract_tb(error.__traceback__)
        line["where"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return line
