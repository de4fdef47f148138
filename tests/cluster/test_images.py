"""No secret is in an image, neither in what we put there nor in how it was made."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import cast

import pytest

from tests.attacks.secret_kinds import PLANTED, found
from tests.cluster.conftest import OURS, TAG

OTHERS = re.compile(r"(\./)?(usr|pulsar)/|.*/site-packages/")
"""Where distributions, Pulsar and wheels, pinned by their hashes, are. Many have passwords in their examples."""


@pytest.mark.parametrize("name", OURS)
def test_no_secret_is_in_an_image(name: str) -> None:
    """In no file that may be ours, not even one that a later layer deletes, nor in its history or environment."""
    paths, secrets = set(), set()
    for path, content in _contents(f"ghcr.io/chattifier/{name}:{TAG}"):
        paths.add(path)
        secrets |= {f"{what} in {path}" for what in found(content)}
    assert any(path.endswith(".py") for path in paths), f"nothing of ours is in {name}: {sorted(paths)[:20]}"
    assert secrets == set()


def test_a_secret_in_a_layer_or_in_the_history_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what others have as examples would not."""
    jwt = PLANTED["a signed JWT"]
    layer = _packed({"app/main.py": jwt, "venv/lib/python3.11/site-packages/jwt/METADATA": jwt, "usr/share/doc": jwt})
    (tmp_path / "image.tar").write_bytes(_packed({"0a1b.tar": layer, "0a1b.json": b'{"history": "' + jwt + b'"}'}))
    monkeypatch.setenv("CHATTIFIER_SAVE_IMAGE", "cat")
    seen = {path: found(content) for path, content in _contents(str(tmp_path / "image.tar"))}
    assert seen == {"app/main.py": ["a signed JWT"], "0a1b.json": ["a signed JWT"]}


def _packed(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _contents(image: str) -> Iterator[tuple[str, bytes]]:
    """What describes it, and every file of every layer that may be ours."""
    command = shlex.split(os.environ.get("CHATTIFIER_SAVE_IMAGE", "docker save"))
    with subprocess.Popen([*command, image], stdout=subprocess.PIPE) as saving:
        assert saving.stdout is not None
        with tarfile.open(fileobj=saving.stdout, mode="r|") as archive:
            for entry, file in _files(archive):
                if _is_tar(file):
                    with tarfile.open(fileobj=file, mode="r|") as layer:
                        yield from ((inner.name, content.read()) for inner, content in _files(layer))
                else:
                    yield entry.name, file.read()
    assert saving.returncode == 0, f"{image} cannot be saved"


def _files(archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, BufferedReader]]:
    for entry in archive:
        if entry.isfile() and not OTHERS.match(entry.name) and (file := archive.extractfile(entry)) is not None:
            yield entry, cast("BufferedReader", file)


def _is_tar(file: BufferedReader) -> bool:
    return file.peek(512)[257:262] == b"ustar"
