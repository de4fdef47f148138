"""The function that chat-router is compared with: parses, serialises again, publishes; nothing else.

It is deployed alone, so it imports nothing of ours. Acked as Pulsar does by itself (at least once): when `process`
returns.
"""

import json
from typing import Any

from pulsar import Function, SerDe


class RawBytes(SerDe):
    """Payloads as they are: the default SerDe guesses types."""

    def serialize(self, input: bytes) -> bytes:
        """Bytes stay bytes."""
        return input

    def deserialize(self, input_bytes: bytes) -> bytes:
        """Bytes stay bytes."""
        return input_bytes


class PassThrough(Function):
    """JSON in, the same JSON out, to the topic in its settings, under the same key."""

    def process(self, input: bytes, context: Any) -> None:
        """One message. The context is the instance's own class, which has no types."""
        payload = json.dumps(json.loads(input)).encode()
        key = context.message.partition_key()
        target = context.get_user_config_value("output")
        context.publish(target, payload, "pass_through.RawBytes", message_conf={"partition_key": key})
