"""What is shipped, and what the repository has ever held: no secret in it, and nothing that may change by itself."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

from .conftest import Noted
from .secret_kinds import KINDS, PLANTED, found

ROOT: Final = Path(__file__).parents[2]
DOCKERFILES: Final = sorted((*ROOT.glob("*/Dockerfile"), *ROOT.glob("*/*/Dockerfile")))
MANIFESTS: Final = sorted((*ROOT.glob("k8s/**/*.yaml"), *ROOT.glob("knative/*.yaml")))
LOCKS: Final = sorted((ROOT / "locks").glob("*.txt"))


def _git(*arguments: str, given: bytes = b"") -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, input=given, capture_output=True, check=True).stdout


def _history() -> Iterator[tuple[str, bytes]]:
    """Every file in every version that led to this one, by name; then what was said about them."""
    listed = _git("rev-list", "--objects", "HEAD").decode(errors="replace").splitlines()
    names = {line[:40]: line[41:] for line in listed if len(line) > 41}
    answer, at = _git("cat-file", "--batch", given="\n".join(names).encode() + b"\n"), 0
    while at < len(answer):
        end = answer.index(b"\n", at)
        number, kind, size = answer[at:end].split()
        body = answer[end + 1 : end + 1 + int(size)]
        at = end + 2 + int(size)
        if kind == b"blob":
            yield names[number.decode()], body
    yield "messages of commits", _git("log", "--format=%B", "HEAD")


def test_every_kind_of_secret_would_be_found(noted: Noted) -> None:
    """Each of those that are looked for, and as itself."""
    for what, secret in PLANTED.items():
        assert what in found(b"some text\n" + secret + b"\nmore")
        noted(f"{what}, planted", "found")
    assert PLANTED.keys() == KINDS.keys()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no clone")
def test_no_secret_is_in_the_history(noted: Noted) -> None:
    """In no version of any file, and in no message of a commit."""
    secrets = {f"{what} in {name}" for name, content in _history() for what in found(content)}
    assert secrets == set()
    noted("the history of the repository", "no secret")


@pytest.mark.parametrize(
    "path", sorted({*ROOT.glob("k8s/**/*.yaml"), *ROOT.glob("knative/*.yaml")}), ids=lambda path: path.name
)
def test_manifests_name_secrets_and_hold_none(noted: Noted, path: Path) -> None:
    """Whatever is called a password, token or secret comes from a Secret."""
    for document in map(yaml.safe_load, re.split(r"(?m)^---$", path.read_text())):
        for name, value in _values(document):
            assert not re.search(r"PASSWORD|TOKEN|SECRET|PRIVATE", name), (
                f"{name} is written into {path.name}: {value!r}"
            )
    noted(f"{path.relative_to(ROOT)}", "no secret")


def _values(node: object) -> Iterator[tuple[str, object]]:
    """Every environment variable that is written down, and every entry of a ConfigMap."""
    if isinstance(node, dict):
        if isinstance(node.get("name"), str) and node.get("value"):
            yield node["name"], node["value"]
        if node.get("kind") in ("ConfigMap", "Secret"):
            yield from ((str(key), value) for key, value in (node.get("data") or node.get("stringData") or {}).items())
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from _values(child)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_an_image_is_made_of_what_is_named(noted: Noted, path: Path) -> None:
    """Bases by a tag of one version, which a digest can take the place of; folders of code by name; pinned wheels; no
    secret as an argument, no download past the lock; and no root.
    """
    lines = [line.split("#")[0].strip() for line in path.read_text().replace("\\\n", " ").splitlines()]
    for line in filter(None, lines):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            assert re.fullmatch(r"[a-z0-9./-]+:\d+\.\d+[a-z0-9.-]*(@sha256:[0-9a-f]{64})?( AS [a-z]+)?", rest), line
        if word == "COPY" and "--from=" not in rest:
            assert re.match(
                r"(pulsar-data|socket-gateway|pulsar-functions|functions|cli|locks|pyproject\.toml)\b", rest
            ), line
            assert not re.search(r"keys/|\.pem|\.chattifier|\.git\b", rest), line
        assert word not in ("ADD", "ARG"), line
        assert not re.search(r"\b(curl|wget)\b", line), line
        if "pip " in line and "install" in line:
            assert "--require-hashes" in line, line
        if word == "ENV":
            assert not re.search(r"PASSWORD|TOKEN|SECRET", rest), line
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users and users[-1].split(":")[0] not in ("0", "root")
    noted(f"{path.relative_to(ROOT)}", "pinned")


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_everything_is_locked_to_one_version_with_its_hashes(noted: Noted, path: Path) -> None:
    """As pip then wants it of all; and no line says where to get it from."""
    entries = [entry for entry in path.read_text().replace("\\\n", " ").splitlines() if entry.strip()]
    for entry in entries:
        assert re.match(r"[a-zA-Z0-9._\[\],-]+==\S+", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]
        assert "://" not in entry, entry[:80]
    noted(f"{path.relative_to(ROOT)}: {len(entries)} packages", "pinned")


def test_what_runs_beside_it_is_pinned_too(noted: Noted) -> None:
    """Pulsar, Cassandra and what they need: by coordinates of one version, and SHA-256."""
    lines = (ROOT / "cli" / "chattifier" / "artifacts.lock").read_text().splitlines()
    pinned = [line for line in lines if line.strip() and line[0] not in "#["]
    assert len(pinned) > 50
    for line in pinned:
        assert re.search(r"\b[0-9a-f]{64}\b", line), line[:100]
    noted(f"artifacts.lock: {len(pinned)} artifacts", "pinned")
