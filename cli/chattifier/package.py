"""The zip of the functions, as Pulsar's Python instance wants it: `<name>/src/...` and `<name>/deps/*.whl`."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from chattifier.errors import DeployError
from chattifier.schema import package_folder

NAME = "chattifier-functions"
"""The instance looks below a folder named as the zip file, so the file must keep this name."""
LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""Every file's time, so that the same sources give the same bytes."""


@dataclass(frozen=True)
class Sources:
    """What goes into the zip: the folder of `chat_functions` and of the function configs, and that of `pulsar_data`."""

    functions: Path
    data: Path

    @classmethod
    def installed(cls, functions: Path | None = None) -> Sources:
        """Those of this installation, or of another folder of functions."""
        return cls(functions or package_folder("chat_functions").parent, package_folder("pulsar_data").parent)

    def config(self, name: str) -> Path:
        """The config file of a function. Raises DeployError if it is missing."""
        path = self.functions / f"{name}.yaml"
        if not path.exists():
            raise DeployError(f"The function {name} has no config: {path} is missing.")
        return path


def build(sources: Sources, folder: Path, locked_dependencies: Path | None = None) -> Path:
    """Write the zip into `folder`; with `locked_dependencies` (a hashed requirements file) the wheels as well.

    The wheels fit the Python and the C library of this machine: build where the worker's are the same. Every start of
    an instance installs them, so a worker that has them already is back sooner after a crash.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{NAME}.zip"
    with tempfile.TemporaryDirectory(dir=folder) as unfinished:
        made = Path(unfinished) / target.name
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for inside, path in _files(sources):
                _add(archive, f"{NAME}/src/{inside}", path)
            if locked_dependencies is not None:
                _add_wheels(archive, locked_dependencies)
        made.replace(target)
    return target


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _files(sources: Sources) -> Iterator[tuple[str, Path]]:
    for root, package in ((sources.functions, "chat_functions"), (sources.data, "pulsar_data")):
        for path in sorted((root / package).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(root).as_posix(), path


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    entry = zipfile.ZipInfo(name, LONG_AGO)
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


def _add_wheels(archive: zipfile.ZipFile, lock: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # `wheel`, not `download`: two of the dependencies are published as sources only. They are built with the
        # setuptools of this environment, which is locked as well.
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        options = ["--require-hashes", "--wheel-dir", folder, "--requirement", str(lock)]
        if subprocess.run([*command, *options], check=False).returncode != 0:
            raise DeployError(f"The wheels in {lock} could not be made: see pip's message above.")
        for wheel in sorted(Path(folder).glob("*.whl")):
            _add(archive, f"{NAME}/deps/{wheel.name}", wheel)
