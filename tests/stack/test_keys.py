"""The signing key of a local stack."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import jwt

from chattifier import keys
from chattifier.layout import Layout


def test_the_published_key_verifies_what_the_private_one_signed_and_holds_nothing_private(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    keys.ensure(layout)
    (private,) = layout.signing_keys.glob("*.pem")
    (public,) = json.loads(layout.jwks.read_text())["keys"]
    token = jwt.encode({"sub": "somebody"}, private.read_text(), "EdDSA", headers={"kid": private.stem})
    assert jwt.decode(token, jwt.PyJWK(public), ["EdDSA"]) == {"sub": "somebody"}
    assert public["kid"] == private.stem
    assert "d" not in public


def test_only_the_owner_may_read_the_private_key(tmp_path: Path) -> None:
    keys.ensure(Layout(tmp_path))
    (private,) = Layout(tmp_path).signing_keys.glob("*.pem")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600


def test_a_second_start_keeps_the_key(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    keys.ensure(layout)
    first = layout.jwks.read_text()
    keys.ensure(layout)
    assert layout.jwks.read_text() == first
