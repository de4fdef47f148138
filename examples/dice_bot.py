"""A bot that throws dice: say `!roll 2d6` in a room that it is a member of.

It may die at any moment and is started again: the key of an answer is made from the message that it answers, so the
same answer sent twice is one message. And the dice of a message are always the same, as the answer must be.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import uuid
from typing import Any

from event_stream import follow
from server_api import Refused, ServerApi

WISH = re.compile(r"^!roll (?P<count>[1-9]\d?)d(?P<sides>[1-9]\d{0,2})$")


def answer_key(event: dict[str, Any]) -> str:
    """A UUIDv7 of the event's time, and otherwise of what event it is: the same for the same event."""
    raw = bytearray(event["time"].to_bytes(6, "big") + hashlib.sha256(f"dice {event['key']}".encode()).digest()[:10])
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


def answer(event: dict[str, Any]) -> str | None:
    """What to say to an event; None to most."""
    wish = WISH.match(event.get("text", "")) if event["type"] == "message_sent" else None
    if wish is None:
        return None
    dice = random.Random(event["key"])
    thrown = [dice.randint(1, int(wish["sides"])) for _ in range(int(wish["count"]))]
    return f"🎲 {' + '.join(map(str, thrown))} = {sum(thrown)}"


def main() -> None:
    """Answer for ever."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pulsar", default="pulsar://127.0.0.1:6650")
    parser.add_argument("--gateway", default="http://127.0.0.1:8001")
    parser.add_argument("--as", dest="bot", required=True, help="The id of the bot's user.")
    arguments = parser.parse_args()
    api = ServerApi(arguments.gateway, os.environ["CHATTIFIER_SERVICE_TOKEN"])

    def handle(event: dict[str, Any]) -> None:
        text = answer(event)
        if text is None or event["actor"] == arguments.bot:
            return
        said = {"room": event["room"], "key": answer_key(event), "text": text, "reply_to": event["seq"]}
        try:
            api.call("message.send", said, user=arguments.bot)
        except Refused as error:
            print(f"not answered in {event['room']}: {error.code}", flush=True)  # it is no member there, or muted

    follow(arguments.pulsar, "dice-bot", handle)


if __name__ == "__main__":
    main()
