"""Fetch pinned artifacts into the cache: resumable, verified before they get their name, one progress bar in all."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import ssl
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from chattifier.artifacts import Artifact, pinned
from chattifier.errors import DownloadError

CHUNK = 256 * 1024
ATTEMPTS = 3
Progress = Callable[[int], None]
"""Told of every chunk: bytes that need not be fetched any more."""


@dataclass(frozen=True)
class Cache:
    """The folder that all stacks of this user share: downloads, and the unpacked Pulsar."""

    root: Path

    @property
    def pulsar(self) -> Path:
        """The unpacked Pulsar distribution."""
        (archive,) = pinned("pulsar")
        return self.root / archive.file_name.removesuffix(".tar.gz")

    def path(self, artifact: Artifact) -> Path:
        """Where the file of an artifact lies."""
        return self.root / "downloads" / artifact.file_name

    def missing(self, artifacts: Sequence[Artifact]) -> list[Artifact]:
        """Those that are not there, or are there and damaged (which are thrown away)."""
        return [artifact for artifact in artifacts if not self._is_intact(artifact)]

    def fetch(self, artifacts: Sequence[Artifact], progress: Progress) -> None:
        """Fetch each artifact. Raises DownloadError, and then keeps what it has, to go on from there next time."""
        with self._locked(), httpx.Client(timeout=30, follow_redirects=True, verify=_trusting()) as client:
            for artifact in artifacts:
                if self._is_intact(artifact):  # another command has fetched it meanwhile
                    progress(artifact.size)
                else:
                    _fetch(client, artifact, self.path(artifact), progress)

    def unpack_pulsar(self) -> Path:
        """Unpack the distribution, unless it is. Whole or not at all: it gets its name at the end."""
        if self.pulsar.exists():
            return self.pulsar
        (archive,) = pinned("pulsar")
        with self._locked():  # another command may be at it
            if self.pulsar.exists():
                return self.pulsar
            unpacking = self.root / "unpacking"
            shutil.rmtree(unpacking, ignore_errors=True)
            with tarfile.open(self.path(archive)) as tar:
                # As an attribute, which 3.11.2 (Debian 12) takes without knowing it; what is unpacked has its checksum.
                tar.extraction_filter = getattr(tarfile, "data_filter", None)
                tar.extractall(unpacking)
            (top,) = unpacking.iterdir()
            top.rename(self.pulsar)
            unpacking.rmdir()
        return self.pulsar

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One command at a time, of all that share the cache; the kernel lets go when we end."""
        (self.root / "downloads").mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _is_intact(self, artifact: Artifact) -> bool:
        path = self.path(artifact)
        if not path.exists():
            return False
        if path.stat().st_size == artifact.size and _sha256(path) == artifact.sha256:
            return True
        path.unlink()
        return False


def _fetch(client: httpx.Client, artifact: Artifact, target: Path, progress: Progress) -> None:
    part = target.with_name(target.name + ".part")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _resume(client, artifact, part, progress)
            break
        except (httpx.HTTPError, OSError) as error:
            if attempt == ATTEMPTS:
                raise DownloadError(
                    f"Could not fetch {artifact.coordinate}: {_cause(error)}. {_advice(error)}"
                ) from error
    if _sha256(part) != artifact.sha256:
        part.unlink()
        raise DownloadError(
            f"What was fetched as {artifact.coordinate} is not that (its SHA-256 differs); it was thrown away. "
            "Run the command again; if it stays so, something between here and the repository changes files."
        )
    part.rename(target)


def _resume(client: httpx.Client, artifact: Artifact, part: Path, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have == artifact.size:
        progress(have)
        return
    headers = {"Range": f"bytes={have}-"} if 0 < have < artifact.size else {}
    with client.stream("GET", artifact.url, headers=headers) as response:
        response.raise_for_status()
        goes_on = response.status_code == httpx.codes.PARTIAL_CONTENT
        progress(have if goes_on else 0)
        with part.open("ab" if goes_on else "wb") as file:
            for chunk in response.iter_bytes(CHUNK):
                file.write(chunk)
                progress(len(chunk))


def _trusting() -> ssl.SSLContext:
    """Whom httpx trusts, and whom this machine trusts besides: the proxy of a company, say, as git and curl do."""
    try:
        context = httpx.create_ssl_context()
    except OSError as error:
        place = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
        why = f"{place}, which the environment names as whom to trust, cannot be read: {error}."
        raise DownloadError(why) from error
    context.load_default_certs()
    return context


def _advice(error: Exception) -> str:
    if "CERTIFICATE_VERIFY_FAILED" not in str(error):
        return "Run the command again to go on."
    return (
        "This machine does not trust whoever signed the repository's certificate, a proxy in between perhaps: add "
        "that authority to the system's (update-ca-certificates), or name its file in SSL_CERT_FILE, and run the "
        "command again."
    )


def _cause(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"the repository answered {error.response.status_code}"
    return str(error) or type(error).__name__


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
