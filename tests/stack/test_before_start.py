"""What is done before Cassandra starts: the traces of a full disk go, and it waits for room."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chattifier.errors import PartFailed
from chattifier.parts import cassandra
from chattifier.parts.cassandra import before_start

SEGMENT = 16 * 2**20
HEADER = bytes.fromhex("00000007") + bytes(8) + bytes.fromhex("00021a2b3c4d")
"""Version 7, and an id that tells nothing."""


def test_segments_that_a_full_disk_has_left_empty_are_deleted_and_no_others(tmp_path: Path) -> None:
    log = tmp_path / "commitlog"
    log.mkdir()
    for number, start in enumerate((HEADER, b"", HEADER + b"what was said", b"")):
        segment = log / f"CommitLog-7-{number}.log"
        segment.write_bytes(start)
        os.truncate(segment, SEGMENT)
    (log / "CommitLog-7-4.log").touch()
    (log / "CommitLog-7-5_cdc.idx").touch()
    before_start(tmp_path)
    assert {path.name for path in log.iterdir()} == {"CommitLog-7-0.log", "CommitLog-7-2.log", "CommitLog-7-5_cdc.idx"}


def test_a_first_start_finds_nothing(tmp_path: Path) -> None:
    before_start(tmp_path)


def test_without_room_it_does_not_start_and_says_where_to_make_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cassandra, "ROOM", 2**62)
    with pytest.raises(PartFailed, match=str(tmp_path)):
        before_start(tmp_path)
