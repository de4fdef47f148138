"""Where the user's lines come from: a terminal with a line editor, or a pipe."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Lines(Protocol):
    """The user's input."""

    async def read(self) -> str | None:
        """The next line without its end; None when there are no more."""

    def shared(self) -> AbstractContextManager[object]:
        """While in it, what is printed does not tear what the user is writing."""


class PipedLines:
    """Lines of a pipe or a file."""

    def __init__(self) -> None:
        self._reader: asyncio.StreamReader | None = None

    async def read(self) -> str | None:
        """See Lines."""
        if self._reader is None:
            self._reader = await _reader()
        line = await self._reader.readline()
        return line.decode(errors="replace").rstrip("\r\n") if line else None

    def shared(self) -> AbstractContextManager[object]:
        """See Lines."""
        return nullcontext()


class TypedLines:
    """Lines of a person at a terminal."""

    def __init__(self) -> None:
        from prompt_toolkit import PromptSession  # takes a while, and a pipe does not need it

        self._session: PromptSession[str] = PromptSession("> ")

    async def read(self) -> str | None:
        """See Lines. Ctrl-C and Ctrl-D are the end."""
        try:
            return await self._session.prompt_async()
        except (EOFError, KeyboardInterrupt):
            return None

    def shared(self) -> AbstractContextManager[object]:
        """See Lines."""
        from prompt_toolkit.patch_stdout import patch_stdout

        return patch_stdout(raw=True)


def lines() -> Lines:
    """Those of standard input."""
    return TypedLines() if sys.stdin.isatty() and sys.stdout.isatty() else PipedLines()


async def _reader() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader
