"""Reading log files."""

from __future__ import annotations

import threading
from pathlib import Path

from chattifier.log_files import follow, last_meaningful


def test_the_last_line_that_sounds_like_a_cause_is_chosen_over_later_noise_and_stack_frames(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("starting\nERROR Address already in use\n\tat java.net.Socket(Socket.java:1)\ngood bye\n")
    assert last_meaningful(log) == "ERROR Address already in use"


def test_without_such_a_line_it_is_the_last_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("one\ntwo\n\n")
    assert last_meaningful(log) == "two"


def test_a_part_that_wrote_nothing_is_said_to_have(tmp_path: Path) -> None:
    assert last_meaningful(tmp_path / "none") == "it wrote nothing"


def test_following_gives_whole_new_lines_of_files_that_may_appear_later(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("before\n")
    lines = follow({"old": old, "new": new})

    def write() -> None:
        new.write_text("first\nsecond\nunfinis")

    # The generator notes where the files end when it is first asked, so write only after that.
    threading.Timer(0.3, write).start()
    assert [next(lines), next(lines)] == [("new", "first"), ("new", "second")]
    with new.open("a") as file:
        file.write("hed\n")
    assert next(lines) == ("new", "unfinished")
