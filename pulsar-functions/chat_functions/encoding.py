"""Values as Cassandra's native protocol has them, for rows that are written thousands of times a second.

The driver's own `bind` finds out the type of every value every time; here the writer knows it. Source: the native
protocol's specification, "Data Type Serialization Formats" (big-endian two's complement, UTF-8).
"""

from __future__ import annotations

from collections.abc import Sequence


def as_uuid(text: str) -> bytes:
    """`uuid`, from its canonical form."""
    return bytes.fromhex(text.replace("-", ""))


def as_bigint(number: int) -> bytes:
    """`bigint`: 64 bits."""
    return number.to_bytes(8, "big", signed=True)


def as_int(number: int) -> bytes:
    """`int`: 32 bits."""
    return number.to_bytes(4, "big", signed=True)


def as_uuids(texts: Sequence[str]) -> bytes:
    """`list<uuid>`: the count, then each element behind its length."""
    return as_int(len(texts)) + b"".join(as_int(16) + as_uuid(text) for text in texts)
