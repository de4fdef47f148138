"""A branch of a git repository: fetched again and again into a folder of ours, and read without a work tree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

from chattifier.config_files import LARGEST, chosen
from chattifier.errors import ConfigRefused, GitFailed

FETCH_WITHIN = 60.0
READ_WITHIN = 10.0
OURS = "refs/heads/followed"
QUIETLY: Mapping[str, str] = {
    "gc.autoDetach": "false",  # nothing of git outlives the call that started it
    "maintenance.autoDetach": "false",
    "gc.pruneExpire": "now",  # commits that nobody follows any more
    "protocol.ext.allow": "never",  # an address is not a command
}


@dataclass(frozen=True)
class Repository:
    """`folder` is ours alone: whatever fails, it is thrown away, and the next fetch starts anew."""

    folder: Path
    url: str
    branch: str

    @property
    def shown(self) -> str:
        """The address without user and password."""
        return without_credentials(self.url)

    def fetch(self) -> str:
        """The commit at which the branch is now. Raises GitFailed."""
        try:
            if not self.folder.exists():
                self._git("init", "--quiet", "--bare", str(self.folder), inside=False)
            fetched = f"+refs/heads/{self.branch}:{OURS}"
            self._git("fetch", "--quiet", "--depth=1", "--no-tags", "origin", fetched, within=FETCH_WITHIN)
            return self._git("rev-parse", OURS).stdout.decode().strip()
        except GitFailed:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def author(self, commit: str) -> str:
        """Who made a commit, by name."""
        return self._git("log", "-1", "--format=%an", commit).stdout.decode(errors="replace").strip()

    def files(self, commit: str, place: str) -> dict[str, bytes]:
        """The files of settings in a folder of a commit, by path. Raises GitFailed, ConfigRefused."""
        listed = self._git("ls-tree", "-z", "--long", commit, f"{place}/" if place else ".").stdout
        entries = dict(_entry(line) for line in listed.decode(errors="replace").split("\0") if line)
        return {name: self._content(name, entries[name]) for name in chosen(entries, place or "/")}

    def _content(self, name: str, entry: _Entry) -> bytes:
        if entry.mode not in ("100644", "100755"):
            raise ConfigRefused([(name, "it is not a file")])
        if entry.size > LARGEST:
            raise ConfigRefused([(name, f"it is larger than {LARGEST // 1024} KiB")])
        return self._git("cat-file", "blob", entry.object).stdout

    def _git(self, *arguments: str, within: float = READ_WITHIN, inside: bool = True) -> CompletedProcess[bytes]:
        command = ["git", *(("-C", str(self.folder)) if inside else ()), *arguments]
        try:
            done = subprocess.run(command, env=self._environment(), capture_output=True, timeout=within, check=False)
        except subprocess.TimeoutExpired as error:
            raise GitFailed(f"git {arguments[0]} took over {within:.0f} s ({self.shown})") from error
        except OSError as error:
            raise GitFailed(f"git cannot be run: {error.strerror}") from error
        if done.returncode != 0:
            said = without_credentials(done.stderr.decode(errors="replace").strip())
            raise GitFailed(f"git {arguments[0]}: {(said or 'it did not say why').splitlines()[0][:200]}")
        return done

    def _environment(self) -> dict[str, str]:
        """Settings of git go there, not among the arguments, which everybody on the machine can see."""
        settings = [*QUIETLY.items(), ("remote.origin.url", self.url)]
        first = int(os.environ.get("GIT_CONFIG_COUNT", "0"))
        ours = {"GIT_CONFIG_COUNT": str(first + len(settings))}
        for number, (name, value) in enumerate(settings, start=first):
            ours |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        quiet = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        ssh = {"GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=10"}
        return {**ssh, **os.environ, **quiet, **ours}


@dataclass(frozen=True)
class _Entry:
    mode: str
    object: str
    size: int


def _entry(line: str) -> tuple[str, _Entry]:
    facts, _, name = line.partition("\t")
    mode, _kind, object_id, size = facts.split()
    return name, _Entry(mode, object_id, int(size) if size.isdecimal() else 0)


def without_credentials(text: str) -> str:
    """A text with addresses, each without user and password."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)
