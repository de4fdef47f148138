"""No secret is in an image, neither in what we put there nor in how it was made."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.attacks.secret_kinds import found
from tests.cluster.conftest import OURS, TAG

OTHERS = re.compile(r"(\./)?(usr|pulsar)/|.*/site-packages/")
"""Where distributions, Pulsar and wheels, pinned by their hashes, are. Many have passwords in their examples."""


@pytest.mark.parametrize("name", OURS)
def test_no_secret_is_in_an_image(images: None, name: str, tmp_path: Path) -> None:
    """In no file that may be ours, not even one that a later layer deletes, nor in its history or environment."""
    archive = tmp_path / "image.tar"
    _save(f"ghcr.io/chattifier/{name}:{TAG}", archive)
    paths, secrets = set(), set()
    for path, content in _contents(archive):
        paths.add(path)
        secrets |= {f"{what} in {path}" for what in found(content)}
    assert any(path.endswith(".py") for path in paths), f"nothing of ours is in {name}: {sorted(paths)[:20]}"
    assert secrets == set()


def _save(image: str, archive: Path) -> None:
    command = shlex.split(os.environ.get("CHATTIFIER_SAVE_IMAGE", "docker save"))
    with archive.open("wb") as file:
        subprocess.run([*command, image], stdout=file, check=True, timeout=600)


def _contents(archive: Path) -> Iterator[tuple[str, bytes]]:
    """What describes the image, and every file of every layer that may be ours."""
    with tarfile.open(archive) as image:
        (described,) = json.load(_member(image, "manifest.json"))
        yield "its description", _member(image, described["Config"]).read()
        for layer in described["Layers"]:
            yield from _files(_member(image, layer))


def _files(layer: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=layer) as files:
        for entry in files:
            if entry.isfile() and not OTHERS.match(entry.name) and (file := files.extractfile(entry)) is not None:
                yield entry.name, file.read()


def _member(image: tarfile.TarFile, name: str) -> IO[bytes]:
    file = image.extractfile(name)
    assert file is not None, f"the image has no {name}"
    return file
