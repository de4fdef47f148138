"""Push notifications: for each message, the members of its room who have no device connected.

Prints a JSON line for each; yours would call a push service there. Message texts are not in it: a device that is woken
up fetches them by itself.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from typing import Any

import redis
from event_stream import follow
from server_api import Refused, ServerApi

PAGE = 500
BEAT = 10_000
"""ms: a gateway without a heartbeat for longer is gone, and its devices with it."""


def members(api: ServerApi, room: str) -> Iterator[str]:
    """The ids of all members, page by page."""
    after: dict[str, str] = {}
    while True:
        page = api.call("member.list", {"room": room, "limit": PAGE, **after})
        yield from (member["user"] for member in page["members"])
        if not page["more"]:
            return
        after = {"after": page["members"][-1]["user"]}


def offline(store: redis.Redis, users: list[str]) -> list[str]:
    """Those of the users who have no device on a gateway that lives. One round trip."""
    pipe = store.pipeline(transaction=False)
    pipe.time()
    pipe.zrange("gateways", 0, -1, withscores=True)
    for user in users:
        pipe.hvals(f"presence:{user}")
    (seconds, micros), gateways, *devices = pipe.execute()
    now = seconds * 1000 + micros // 1000
    alive = {name for name, beat in gateways if now - beat < BEAT}
    return [user for user, places in zip(users, devices, strict=True) if not alive.intersection(places)]


def main() -> None:
    """Notify for ever."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pulsar", default="pulsar://127.0.0.1:6650")
    parser.add_argument("--gateway", default="http://127.0.0.1:8001")
    parser.add_argument("--redis", default="redis://127.0.0.1:6379/0")
    arguments = parser.parse_args()
    api = ServerApi(arguments.gateway, os.environ["CHATTIFIER_SERVICE_TOKEN"])
    store = redis.Redis.from_url(arguments.redis, decode_responses=True)

    def handle(event: dict[str, Any]) -> None:
        if event["type"] != "message_sent":
            return
        try:
            readers = [user for user in members(api, event["room"]) if user != event["actor"]]
        except Refused as error:
            if error.code != "room_not_found":
                raise
            return
        for user in offline(store, readers):
            print(json.dumps({"user": user, "room": event["room"], "seq": event["seq"]}), flush=True)

    follow(arguments.pulsar, "push-notifications", handle)


if __name__ == "__main__":
    main()
