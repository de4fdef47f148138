"""The terminal client on what is pushed when nobody thinks of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from chattifier.chat.conversation import Conversation
from chattifier.chat.wire import Connected, Heard, Left, Wire
from chattifier.errors import Refused

pytestmark = pytest.mark.anyio
SUMMARY = {"room": "r", "kind": "group", "name": "Tea", "head": {"seq": 3}, "unread": 1}
ME = {"user_id": "me", "username": "ada"}


class Server:
    """Answers with these, by method; refuses all else."""

    def __init__(self, **answers: Mapping[str, Any]) -> None:
        self._answers = answers

    async def ask(self, method: str, _: Mapping[str, Any]) -> Mapping[str, Any]:
        """As the wire does."""
        if method not in self._answers:
            raise Refused("internal")
        return self._answers[method]


@pytest.fixture
def anyio_backend() -> str:
    """The client's loop."""
    return "asyncio"


async def conversation(**answers: Mapping[str, Any]) -> tuple[Conversation, list[str]]:
    """One that has just connected; what it shows."""
    shown: list[str] = []
    talk = Conversation(cast("Wire", Server(**answers)), "me", shown.append)
    await talk.take(Connected(ME, (SUMMARY,)))
    return talk, shown


async def test_who_is_put_out_of_the_open_room_is_told() -> None:
    """By news of the user's own, which nobody did, and by the end of the subscription."""
    talk, shown = await conversation(**{"message.list": {"messages": [], "more": False}})
    await talk.open("r")
    await talk.take(Heard({"type": "room_left", "room": "r"}))
    await talk.take(Left("r"))
    assert shown[-1] == "— you are not in Tea any more"


async def test_what_a_summary_has_counted_is_not_counted_again() -> None:
    """A recovery brings what it counts as well."""
    talk, _ = await conversation()
    for seq in (3, 4):
        await talk.take(Heard({"type": "message_sent", "room": "r", "seq": seq, "actor": "grace", "text": "hello"}))
    assert "(2 unread)" in talk.listed()[0]
