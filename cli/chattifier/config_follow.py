"""Follows a repository of settings: publishes what its branch says, and goes on whatever is broken or away."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from chattifier import config_files
from chattifier.config_files import Wanted
from chattifier.config_topic import Change, Origin
from chattifier.errors import ChattifierError, ConfigRefused
from chattifier.repository import Repository

Publish = Callable[[Wanted, Origin], list[Change]]
"""Raises ChattifierError while Pulsar does not take it."""


def say(level: str, event: str, **fields: Any) -> None:
    """A line of JSON on stderr."""
    print(json.dumps({"time": time.time_ns() // 1_000_000, "level": level, "event": event, **fields}), file=sys.stderr)


@dataclass
class Follower:
    """`place`: the folder of the settings in the repository. `alive`: touched after each round that saw the branch."""

    repository: Repository
    place: str
    publish: Publish
    alive: Path | None = None
    _judged: str = field(default="", init=False)
    """The last commit that was published or refused: it is not looked at again."""
    _trouble: str = field(default="", init=False)
    """What is wrong since the last round: said once, not every few seconds."""

    def run(self, stop: Event, interval: float) -> None:
        """A round every so many seconds, until it is stopped."""
        say("info", "config_following", repository=self.repository.shown, branch=self.repository.branch)
        while not stop.is_set():
            self.round()
            stop.wait(interval)

    def round(self) -> None:
        """Fetch, and if there is a commit that was not judged yet, publish or refuse it. Raises nothing of ours."""
        commit = ""
        try:
            commit = self.repository.fetch()
            if commit != self._judged:
                self._judge(commit)
            self._trouble = ""
        except ChattifierError as error:
            self._say_once(commit, error.message)
        if commit and self.alive is not None:
            self.alive.touch()

    def _judge(self, commit: str) -> None:
        try:
            wanted = config_files.parse(self.repository.files(commit, self.place), whole=True)
        except ConfigRefused as error:
            for file, reason in error.problems:
                say("error", "config_refused", commit=commit, file=file, reason=reason)
        else:
            origin = Origin(commit, f"{self.repository.shown} {self.place}".strip(), self.repository.author(commit))
            for change in self.publish(wanted, origin):
                changed = {name: f"{_shown(old)} -> {_shown(new)}" for name, old, new in change.differences}
                say("info", "config_published", commit=commit, group=change.published.group, changed=changed)
            say("info", "config_in_force", commit=commit)
        self._judged = commit

    def _say_once(self, commit: str, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            say("warning", "config_waits", commit=commit or None, reason=trouble)


def _shown(value: object) -> str:
    return "as started" if value is None else json.dumps(value)
