"""Fetching artifacts, from a real HTTP server that can be told to misbehave."""

from __future__ import annotations

import hashlib
import re
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from chattifier.artifacts import Artifact, pinned
from chattifier.downloads import Cache
from chattifier.errors import DownloadError
from tests.http_server import Quiet, http_server
from tests.secured.authority import make

CONTENT = bytes(range(256)) * 4000


@dataclass
class Repository:
    """An HTTP server with one file. `breaks` answers end half-way; `ranges` are the Range headers it got."""

    url: str
    content: bytes = CONTENT
    breaks: int = 0
    ranges: list[str | None] = field(default_factory=list)


@dataclass(frozen=True)
class LocalArtifact(Artifact):
    """An artifact that lies on our server."""

    base: str = ""

    @property
    def url(self) -> str:
        return f"{self.base}/{self.file_name}"


@pytest.fixture
def repository() -> Iterator[Repository]:
    with _repository() as state:
        yield state


@contextmanager
def _repository(certificate: Path | None = None) -> Iterator[Repository]:
    """`certificate`: with its key, for https."""
    state = Repository("")

    class Handler(Quiet):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.ranges.append(wanted)
            start = int(re.findall(r"\d+", wanted)[0]) if wanted else 0
            body = state.content[start:]
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if state.breaks > 0:
                state.breaks -= 1
                body = body[: len(body) // 2]
                self.close_connection = True
            self.wfile.write(body)

    tls = None
    if certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    with http_server(Handler, tls) as state.url:
        yield state


@pytest.fixture
def artifact(repository: Repository) -> LocalArtifact:
    return _artifact(repository)


def _artifact(repository: Repository) -> LocalArtifact:
    return LocalArtifact("org.example:thing:jar:1.0", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), repository.url)


def _fetch(cache: Cache, artifact: Artifact) -> int:
    """Fetch what is missing; the bytes that the progress was told of."""
    told: list[int] = []
    cache.fetch(cache.missing([artifact]), told.append)
    return sum(told)


def test_a_missing_artifact_is_fetched_and_then_kept(
    tmp_path: Path, repository: Repository, artifact: LocalArtifact
) -> None:
    cache = Cache(tmp_path)
    assert _fetch(cache, artifact) == len(CONTENT)
    assert cache.path(artifact).read_bytes() == CONTENT
    assert _fetch(cache, artifact) == 0
    assert len(repository.ranges) == 1


def test_two_commands_that_fetch_at_once_fetch_once(
    tmp_path: Path, repository: Repository, artifact: LocalArtifact
) -> None:
    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(lambda _: _fetch_whatever_is_there(Cache(tmp_path), artifact), range(4)))
    assert told == [len(CONTENT)] * 4
    assert len(repository.ranges) == 1
    assert Cache(tmp_path).path(artifact).read_bytes() == CONTENT


def _fetch_whatever_is_there(cache: Cache, artifact: Artifact) -> int:
    """As a command that looked when nobody had anything."""
    told: list[int] = []
    cache.fetch([artifact], told.append)
    return sum(told)


def test_a_started_download_goes_on_where_it_ended(
    tmp_path: Path, repository: Repository, artifact: LocalArtifact
) -> None:
    cache = Cache(tmp_path)
    part = cache.path(artifact).with_name(artifact.file_name + ".part")
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:1000])
    _fetch(cache, artifact)
    assert repository.ranges == ["bytes=1000-"]
    assert cache.path(artifact).read_bytes() == CONTENT


def test_a_connection_that_breaks_half_way_is_taken_up_again(
    tmp_path: Path, repository: Repository, artifact: LocalArtifact
) -> None:
    repository.breaks = 1
    cache = Cache(tmp_path)
    _fetch(cache, artifact)
    assert cache.path(artifact).read_bytes() == CONTENT
    assert len(repository.ranges) == 2
    assert repository.ranges[1] is not None


def test_a_repository_that_keeps_breaking_is_an_error_that_names_the_artifact_and_keeps_what_is_there(
    tmp_path: Path, repository: Repository, artifact: LocalArtifact
) -> None:
    repository.breaks = 99
    cache = Cache(tmp_path)
    with pytest.raises(DownloadError, match=r"org\.example:thing:jar:1\.0.*Run the command again"):
        _fetch(cache, artifact)
    assert cache.path(artifact).with_name(artifact.file_name + ".part").stat().st_size > len(CONTENT) // 2


def test_whom_the_machine_trusts_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the proxy of a company, which signs what it lets through. httpx's own list, empty here, does not have it."""
    authority, cache = make(tmp_path), Cache(tmp_path / "cache")
    monkeypatch.setattr(httpx, "create_ssl_context", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    with _repository(authority.both) as repository:
        with pytest.raises(DownloadError, match=r"does not trust.*SSL_CERT_FILE"):
            _fetch(cache, _artifact(repository))
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))  # what OpenSSL takes for the system's
        _fetch(cache, _artifact(repository))
    assert cache.path(_artifact(repository)).read_bytes() == CONTENT


def test_certificates_that_are_not_there_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    with pytest.raises(DownloadError, match=r"missing\.pem"):
        Cache(tmp_path).fetch([], lambda _: None)


def test_something_else_under_the_name_is_refused_and_thrown_away(
    tmp_path: Path, repository: Repository, artifact: LocalArtifact
) -> None:
    repository.content = b"x" * len(CONTENT)
    cache = Cache(tmp_path)
    with pytest.raises(DownloadError, match="SHA-256 differs"):
        _fetch(cache, artifact)
    assert list((tmp_path / "downloads").iterdir()) == []


def test_a_file_of_the_cache_that_was_damaged_since_is_fetched_anew(
    tmp_path: Path, repository: Repository, artifact: LocalArtifact
) -> None:
    cache = Cache(tmp_path)
    _fetch(cache, artifact)
    damaged = bytearray(CONTENT)
    damaged[500] ^= 1
    cache.path(artifact).write_bytes(damaged)
    _fetch(cache, artifact)
    assert cache.path(artifact).read_bytes() == CONTENT
    assert len(repository.ranges) == 2


@pytest.mark.parametrize("section", ["pulsar", "cassandra"])
def test_every_pinned_artifact_has_a_hash_a_size_and_no_host(section: str) -> None:
    artifacts = pinned(section)
    assert artifacts
    for artifact in artifacts:
        assert re.fullmatch(r"[0-9a-f]{64}", artifact.sha256)
        assert artifact.size > 0
        assert "/" not in artifact.coordinate
