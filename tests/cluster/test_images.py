"""No secret is in an image, neither in what we put there nor in what came with it, nor in how it was made."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.attacks.secret_kinds import found
from tests.cluster.conftest import OURS, TAG


@pytest.mark.parametrize("name", OURS)
def test_no_secret_is_in_an_image(images: None, name: str, tmp_path: Path) -> None:
    """Neither in a file of any layer, even one that a later layer deletes, nor in its history or its environment."""
    archive = tmp_path / "image.tar"
    _save(f"ghcr.io/chattifier/{name}:{TAG}", archive)
    seen, secrets = 0, set()
    for path, content in _contents(archive):
        seen += 1
        secrets |= {f"{what} in {path}" for what in found(content)}
    assert seen > 1000, "that is no image"
    assert secrets == set()


def _save(image: str, archive: Path) -> None:
    command = shlex.split(os.environ.get("CHATTIFIER_SAVE_IMAGE", "docker save"))
    with archive.open("wb") as file:
        subprocess.run([*command, image], stdout=file, check=True, timeout=600)


def _contents(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of every layer, and what describes the image."""
    with tarfile.open(archive) as image:
        (described,) = json.load(_member(image, "manifest.json"))
        yield "its description", _member(image, described["Config"]).read()
        for layer in described["Layers"]:
            with tarfile.open(fileobj=_member(image, layer)) as files:
                for entry in files:
                    if entry.isfile() and (file := files.extractfile(entry)) is not None:
                        yield entry.name, file.read()


def _member(image: tarfile.TarFile, name: str) -> IO[bytes]:
    file = image.extractfile(name)
    assert file is not None, f"the image has no {name}"
    return file
