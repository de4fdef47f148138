"""What looks like a secret, wherever it lies: in the history of the repository, in an image."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

KINDS: Final[Mapping[str, re.Pattern[bytes]]] = {
    "a private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}"),
    "a signed JWT": re.compile(rb"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}"),
    "a private JWK": re.compile(rb'"d"\s*:\s*"[A-Za-z0-9_-]{40,}"'),
    "a key of AWS": re.compile(rb"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a token of GitHub": re.compile(rb"\b(gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22,})"),
    "a token of GitLab": re.compile(rb"\bglpat-[A-Za-z0-9_-]{20}"),
    "a token of PyPI": re.compile(rb"\bpypi-AgE[A-Za-z0-9_-]{50}"),
    "a token of Slack": re.compile(rb"\bxox[abprs]-[0-9A-Za-z-]{10,}"),
    "a key of Google": re.compile(rb"\bAIza[0-9A-Za-z_-]{35}\b"),
    "a password in a URL": re.compile(
        rb"\b(redis|rediss|pulsar|https?|postgres)://[^\s/:@\"'{}]*:[^\s/@\"'{}<>$]{6,}@"
    ),
    "a password in YAML": re.compile(
        rb"(?im)^\s*-?\s*[a-z_-]*(password|passwd|secret|api_?key)\s*:\s*[\"']?[a-z0-9+/_-]{12,}"
    ),
    "a hash of a password": re.compile(rb"\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]{16,}\$[A-Za-z0-9+/]{32,}"),
}
PLANTED: Final[Mapping[str, bytes]] = {
    "a private key": b"-----BEGIN PRIVATE KEY-----\n" + b"MC4CAQAwBQYDK2VwBCIEIA" * 2,
    "a signed JWT": b".".join([b"eyJ" + b"hbGciOiJFZERTQSJ9", b"eyJ" + b"zdWIiOiJtZSJ9aaaa", b"c2ln" * 8]),
    "a private JWK": b'{"d": "' + b"nWGxne_9WmC6hEr0" * 3 + b'"}',
    "a key of AWS": b"AKIA" + b"IOSFODNN7EXAMPLE",
    "a token of GitHub": b"ghp_" + b"a1b2c3" * 6,
    "a token of GitLab": b"glpat-" + b"a1b2c3d4e5" * 2,
    "a token of PyPI": b"pypi-AgE" + b"a1b2c3d4e5" * 5,
    "a token of Slack": b"xoxb-" + b"1234567890",
    "a key of Google": b"AIza" + b"a1b2c" * 7,
    "a password in a URL": b"redis://:" + b"hunter22@redis:6379/0",
    "a password in YAML": b"  redis-password: " + b"hunter2hunter2",
    "a hash of a password": b"$argon2id$v=19$m=19456,t=2,p=1$" + b"c2FsdHNhbHRzYWx0c2FsdA$" + b"aGFzaA" * 7,
}
"""One of each, put together here so that this file holds none."""
INVENTED: Final = (b"ada:" + b"s3cret@", b":" + b"password@host")
"""What a test gives a repository's address, to see that it is taken out; what a page says instead of a password."""


def found(content: bytes) -> list[str]:
    """The kinds of secrets that are in there."""
    for invented in INVENTED:
        content = content.replace(invented, b"")
    return [what for what, pattern in KINDS.items() if pattern.search(content)]
