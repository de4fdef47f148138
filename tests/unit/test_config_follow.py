"""Following a repository of settings: what is broken or away stops nothing, and no credentials are told."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chattifier.config_files import Wanted
from chattifier.config_follow import Follower
from chattifier.config_topic import Change, Origin
from chattifier.errors import StackError
from chattifier.repository import Repository, without_credentials
from pulsar_data.config import Published


@dataclass
class Upstream:
    """Somebody's repository."""

    path: Path

    def git(self, *arguments: str) -> str:
        """Run git there."""
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgSign=false")
        command = ["git", "-C", str(self.path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, **files: str) -> str:
        """Commit the files of these groups; returns the commit."""
        for group, text in files.items():
            place = self.path / "k8s" / "config" / f"{group}.yaml"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "settings")
        return self.git("rev-parse", "HEAD")


@dataclass
class Topic:
    """Takes what is published; `away` while it is not to be reached."""

    taken: list[tuple[Wanted, Origin]] = field(default_factory=list)
    away: bool = False

    def publish(self, wanted: Wanted, origin: Origin) -> list[Change]:
        """See config_topic.publish."""
        if self.away:
            raise StackError("Pulsar at pulsar://nowhere refused: it is away.")
        self.taken.append((wanted, origin))
        named = {"version": origin.version, "source": origin.source, "by": origin.by, "time": 1}
        return [Change(Published(group=group, values=new, **named), {}) for group, new in wanted.values.items()]  # type: ignore[arg-type]


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    """A repository with a branch `main`."""
    there = Upstream(tmp_path / "upstream")
    there.path.mkdir()
    there.git("init", "--quiet", "--initial-branch=main")
    return there


@pytest.fixture
def topic() -> Topic:
    """An empty one."""
    return Topic()


@pytest.fixture
def follower(tmp_path: Path, upstream: Upstream, topic: Topic) -> Follower:
    """Of that repository, to that topic."""
    repository = Repository(tmp_path / "copy", upstream.path.as_uri(), "main")
    return Follower(repository, "k8s/config", topic.publish, tmp_path / "alive")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """What it logged since the last time: a JSON object a line, and nothing else."""
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_a_commit_is_published_once_and_says_who_and_which(
    upstream: Upstream, topic: Topic, follower: Follower, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another commit with the same files is published as well: the topic knows what is in force."""
    first = upstream.commit(limits="text_limit: 5", gateway="inflight: 7")
    follower.round()
    follower.round()
    ((wanted, origin),) = topic.taken
    assert wanted.values == {"limits": {"text_limit": 5}, "gateway": {"inflight": 7}}
    assert wanted.whole
    assert origin == Origin(first, f"{upstream.path.as_uri()} k8s/config", "Ada")
    said = lines(capsys)
    assert [line["event"] for line in said] == ["config_published", "config_published", "config_in_force"]
    assert {line["commit"] for line in said} == {first}
    upstream.commit(limits="text_limit: 6")
    follower.round()
    assert topic.taken[1][0].values["limits"] == {"text_limit": 6}


def test_a_broken_commit_is_refused_whole_and_the_next_good_one_is_taken(
    upstream: Upstream, topic: Topic, follower: Follower, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line for each broken file, said once: commit, file, reason."""
    upstream.commit(limits="text_limit: 5")
    follower.round()
    broken = upstream.commit(limits="text_limit: 0", gateway="inflight: 7")
    lines(capsys)
    follower.round()
    follower.round()
    (line,) = lines(capsys)
    assert (line["event"], line["level"], line["commit"]) == ("config_refused", "error", broken)
    assert line["file"] == "k8s/config/limits.yaml"
    assert line["reason"] == "limits.text_limit is 0: it must be a whole number from 1 to 20000"
    assert len(topic.taken) == 1
    upstream.commit(limits="text_limit: 8")
    follower.round()
    assert topic.taken[1][0].values == {"limits": {"text_limit": 8}, "gateway": {"inflight": 7}}


@pytest.mark.parametrize("break_it", ["remove", "link", "large", "unknown"])
def test_what_is_no_settings_is_refused(
    upstream: Upstream, topic: Topic, follower: Follower, capsys: pytest.CaptureFixture[str], break_it: str
) -> None:
    """A folder that is gone is not the wish to set nothing; links lead nowhere; files are small."""
    upstream.commit(limits="text_limit: 5")
    place = upstream.path / "k8s" / "config"
    if break_it == "remove":
        upstream.git("rm", "--quiet", "-r", "k8s")
    elif break_it == "link":
        (place / "gateway.yaml").symlink_to("/etc/passwd")
    else:
        (place / "limits.yaml").write_text("#" * 70_000 if break_it == "large" else "of_tomorrow: 1")
    upstream.commit()
    follower.round()
    assert [line["event"] for line in lines(capsys)] == ["config_refused"]
    assert topic.taken == []


def test_it_goes_on_when_git_was_away(
    upstream: Upstream, topic: Topic, follower: Follower, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said once, not every round; its last round that saw the branch can be told by a file."""
    assert follower.alive is not None
    hidden = upstream.path.with_name("hidden")
    upstream.commit(limits="text_limit: 5")
    upstream.path.rename(hidden)
    follower.round()
    follower.round()
    (line,) = lines(capsys)
    assert (line["event"], line["level"]) == ("config_waits", "warning")
    assert not follower.alive.exists()
    hidden.rename(upstream.path)
    follower.round()
    assert len(topic.taken) == 1
    assert follower.alive.exists()


def test_it_goes_on_when_pulsar_was_away(
    upstream: Upstream, topic: Topic, follower: Follower, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commit is published when it is back, without another one."""
    commit = upstream.commit(limits="text_limit: 5")
    topic.away = True
    follower.round()
    follower.round()
    (line,) = lines(capsys)
    assert line == {**line, "event": "config_waits", "commit": commit}
    topic.away = False
    follower.round()
    assert len(topic.taken) == 1


def test_a_history_that_was_written_anew_is_followed(upstream: Upstream, topic: Topic, follower: Follower) -> None:
    """Force-pushed, that is; and a copy that is broken is made anew."""
    upstream.commit(limits="text_limit: 5")
    follower.round()
    upstream.git("checkout", "--quiet", "--orphan", "other")
    upstream.commit(limits="text_limit: 6")
    upstream.git("branch", "--move", "--force", "main")
    follower.round()
    shutil.rmtree(follower.repository.folder / "objects")
    upstream.commit(limits="text_limit: 7")
    follower.round()
    follower.round()
    assert [wanted.values["limits"]["text_limit"] for wanted, _ in topic.taken] == [5, 6, 7]


def test_only_that_branch_is_followed(upstream: Upstream, topic: Topic, follower: Follower) -> None:
    """A proposal on another branch changes nothing."""
    upstream.commit(limits="text_limit: 5")
    upstream.git("checkout", "--quiet", "-b", "proposal")
    upstream.commit(limits="text_limit: 6")
    follower.round()
    assert [wanted.values["limits"]["text_limit"] for wanted, _ in topic.taken] == [5]


def test_no_credentials_are_told(tmp_path: Path, topic: Topic, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in logs nor in the history: the address loses user and password."""
    repository = Repository(tmp_path / "copy", "http://ada:s3cret@127.0.0.1:1/settings.git", "main")
    Follower(repository, "k8s/config", topic.publish).round()
    (line,) = lines(capsys)
    assert "http://127.0.0.1:1/settings.git" in str(line["reason"])
    assert "s3cret" not in str(line)
    assert "ada" not in str(line)
    assert without_credentials("see https://a:b@c/d and ssh://git@e/f") == "see https://c/d and ssh://e/f"
