"""Files of settings: all are good, or none is taken, and whoever wrote them learns why."""

from __future__ import annotations

from pathlib import Path

import pytest

from chattifier import config_files
from chattifier.errors import ConfigRefused
from tests.stack.command import run


def refused(**files: str | bytes) -> str:
    """What is said of such files, by the names of their groups."""
    contents = {f"{group}.yaml": text if isinstance(text, bytes) else text.encode() for group, text in files.items()}
    with pytest.raises(ConfigRefused) as caught:
        config_files.parse(contents, whole=True)
    return caught.value.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text_limit: 0", "limits.text_limit is 0: it must be a whole number from 1 to 20000."),
        ("text_limit: [", "it is not YAML: "),
        ("text_limit: 1\n  x: 2", "it is not YAML: mapping values are not allowed here in line 2."),
        ("a: &a [*a]", "there is no setting limits.a: there are text_limit, "),
        ("!!python/object:os.system {}", "it is not YAML: "),
        ("text_limit: 2026-99-99", "it is not YAML with names and values."),
        ("[" * 5000, "it is not YAML"),
        ("text_limit: 5\nmeta_limit: 3\ntext_limit: 6", "text_limit is there twice."),
        ("- text_limit", "limits must be names with values, such as text_limit: 1."),
        (b"text_limit: \xff", "it is not UTF-8."),
        (b"#" * 70_000, "it is larger than 64 KiB."),
    ],
)
def test_a_broken_file_is_refused_on_one_line(content: str | bytes, said: str) -> None:
    """It names the file, and says what is wrong where."""
    message = refused(limits=content)
    assert message.startswith(f"limits.yaml: {said}")
    assert "\n" not in message


def test_every_broken_file_is_named() -> None:
    """A line each; the good ones are not taken either."""
    lines = refused(limits="text_limit: 0", gateway="inflight: 5", storing="x: 1").splitlines()
    assert [line.partition(":")[0] for line in lines] == ["limits.yaml", "storing.yaml"]


def test_what_a_file_does_not_name_it_does_not_set() -> None:
    """An empty file, or one of comments alone, sets nothing of its group."""
    wanted = config_files.parse({"a/limits.yml": b"# nothing\n", "a/gateway.yaml": b"inflight: 5\n"}, whole=True)
    assert wanted.values == {"limits": {}, "gateway": {"inflight": 5}}
    assert wanted.files == {"limits": "a/limits.yml", "gateway": "a/gateway.yaml"}


def test_a_group_has_one_file() -> None:
    """Nobody could say which of two counts."""
    with pytest.raises(ConfigRefused, match=r"limits\.yml: there is another file of the group limits"):
        config_files.parse({"limits.yaml": b"", "limits.yml": b""}, whole=True)


def test_a_folder_is_the_whole_and_a_file_is_its_group(tmp_path: Path) -> None:
    """Other files of a folder are none of ours."""
    (tmp_path / "limits.yaml").write_text("text_limit: 5")
    (tmp_path / "README.md").write_text("text_limit: 6")
    folder, file = config_files.read([tmp_path]), config_files.read([tmp_path / "limits.yaml"])
    assert folder.values == file.values == {"limits": {"text_limit": 5}}
    assert (folder.whole, file.whole) == (True, False)


def test_an_empty_folder_is_not_the_wish_to_set_nothing(tmp_path: Path) -> None:
    """It is a mistake."""
    with pytest.raises(ConfigRefused, match=r"there are no settings: no limits\.yaml"):
        config_files.read([tmp_path])


def test_the_command_refuses_before_it_asks_pulsar(tmp_path: Path) -> None:
    """Exit code 1 and the reason, wherever Pulsar is."""
    (tmp_path / "limits.yaml").write_text("text_limit: 0")
    done = run("config", "apply", str(tmp_path), "--service-url", "pulsar://127.0.0.1:1")
    assert done.code == 1
    place = f"{tmp_path}/limits.yaml"
    assert done.err == f"Error: {place}: limits.text_limit is 0: it must be a whole number from 1 to 20000.\n"
