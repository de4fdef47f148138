"""What is done before Cassandra starts: the traces of a full disk go, and it waits for room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from chattifier.errors import PartFailed
from chattifier.parts import cassandra
from chattifier.parts.cassandra import before_start

ROOT = Path(__file__).parents[2]
SEGMENT = 16 * 2**20
HEADER_PAGE = 4096
HEADER = bytes.fromhex("00000007") + bytes(8) + bytes.fromhex("00021a2b3c4d")
"""Version 7, and an id that tells nothing."""


def _before_start_in_kubernetes(home: Path) -> None:
    """What the pod of Cassandra does before it is Cassandra."""
    manifest = (ROOT / "k8s" / "overlays" / "evaluation" / "cassandra.yaml").read_text()
    (stateful,) = (one for one in map(yaml.safe_load, manifest.split("\n---\n")) if one["kind"] == "StatefulSet")
    shell, option, script = stateful["spec"]["template"]["spec"]["containers"][0]["command"]
    script, _, then = script.replace("/var/lib/cassandra", str(home)).partition("exec ")
    assert then == "cassandra -f\n"
    subprocess.run([shell, option, script], check=False)


@pytest.mark.parametrize("before", [before_start, _before_start_in_kubernetes])
def test_segments_that_a_full_disk_has_left_empty_are_deleted_and_no_others(
    tmp_path: Path, before: Callable[[Path], None]
) -> None:
    log = tmp_path / "commitlog"
    log.mkdir()
    for number, start in enumerate((HEADER, b"", HEADER + b"what was said", b"")):
        segment = log / f"CommitLog-7-{number}.log"
        segment.write_bytes(start)
        os.truncate(segment, SEGMENT)
    (log / "CommitLog-7-4_cdc.idx").write_bytes(bytes(HEADER_PAGE))
    before(tmp_path)
    assert {path.name for path in log.iterdir()} == {"CommitLog-7-0.log", "CommitLog-7-2.log", "CommitLog-7-4_cdc.idx"}


@pytest.mark.parametrize("before", [before_start, _before_start_in_kubernetes])
def test_a_first_start_finds_nothing(tmp_path: Path, before: Callable[[Path], None]) -> None:
    before(tmp_path)


@pytest.mark.parametrize("before", [before_start, _before_start_in_kubernetes])
def test_what_cannot_be_read_is_left_alone(tmp_path: Path, before: Callable[[Path], None]) -> None:
    """As if it could not be: to read a folder fails for whoever may do anything, too."""
    segment = tmp_path / "commitlog" / "CommitLog-7-0.log"
    segment.mkdir(parents=True)
    with suppress(PartFailed):
        before(tmp_path)
    assert segment.exists()


def test_without_room_it_does_not_start_and_says_where_to_make_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cassandra, "ROOM", 2**62)
    with pytest.raises(PartFailed, match=str(tmp_path)):
        before_start(tmp_path)
