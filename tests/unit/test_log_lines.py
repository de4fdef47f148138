"""What counts as a defect in a log."""

from __future__ import annotations

import pytest

from tests.log_lines import tells_of_a_defect


@pytest.mark.parametrize(
    ("line", "defect"),
    [
        (b'{"event": "cassandra_failed", "error": "OperationTimedOut", "where": ["a.py:1 f"]}', False),
        (b'{"event": "redis_failed", "error": "TimeoutError", "where": ["a.py:1 f"]}', False),
        (b'{"event": "redis_failed", "error": "ConnectionError", "where": ["a.py:1 f"]}', True),
        (b'{"event": "request_failed", "error": "TimeoutError", "where": ["a.py:1 f"]}', True),
        (b"Traceback (most recent call last):", True),
        (b'{"event": "started"}', False),
    ],
)
def test_a_slow_store_is_none(line: bytes, defect: bool) -> None:
    assert tells_of_a_defect(line) == defect
