"""The Maven artifacts that the local stack runs on, pinned in `artifacts.lock`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Artifact:
    """One file of a Maven repository: `group:artifact:packaging[:classifier]:version`, its size and its hash."""

    coordinate: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        """The name that the file has in every repository."""
        return self._uri("").rpartition("/")[2]

    @property
    def url(self) -> str:
        """Where it is, in the resolver's own default repository."""
        from maven_artifact import Resolver

        return self._uri(Resolver.default().base)

    def _uri(self, base: str) -> str:
        from maven_artifact import (
            Artifact as Coordinate,  # with all it imports a third of a start's time: only if needed
        )

        return Coordinate.parse(self.coordinate).uri(base)


def pinned(section: str) -> tuple[Artifact, ...]:
    """The artifacts of a section of `artifacts.lock`: `pulsar` (one archive) or `cassandra` (jars)."""
    return tuple(artifact for name, artifact in _read() if name == section)


def _read() -> list[tuple[str, Artifact]]:
    section, found = "", []
    for line in files("chattifier").joinpath("artifacts.lock").read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            coordinate, size, sha256 = line.split()
            found.append((section, Artifact(coordinate, int(size), sha256)))
    return found
