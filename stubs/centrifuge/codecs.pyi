from collections.abc import Iterable
from typing import Any

class _ProtobufCodec:
    @staticmethod
    def encode_commands(commands: Iterable[dict[str, Any]]) -> bytes: ...
    @staticmethod
    def decode_replies(data: bytes) -> list[dict[str, Any]]: ...
