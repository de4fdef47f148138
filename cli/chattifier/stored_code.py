"""The code of a function in Pulsar's package store, where the worker has one.

`functions update` ignores the zip that it is given when the function's code lies in that store: it takes the old code
from there and calls it a new version. So the new code is put in the place of the old one first; then any way leads to
it. A worker without the package store keeps code elsewhere, and its update works as it should.
"""

from __future__ import annotations

import time
from pathlib import Path

from chattifier.errors import DeployError
from chattifier.topics import Admin

API = "/admin/v3/packages/function/chat/core"
NO_STORE = (404, 412, 501)
IN_TROUBLE = (500, 503)
"""What any trouble of the store is answered with, as well as that there is none: then the text says so."""
NOT_ENABLED = "not enabled"
PATIENCE = 60.0
"""Seconds: after a start of Pulsar the store answers later than the rest."""
PAUSE = 1.0


def replace(admin: Admin, function: str, archive: Path) -> None:
    """Every stored version of the function's code becomes this archive. Running instances keep what they have."""
    for version in _versions(admin, function):
        path = f"{API}/{function}/{version}"
        admin.request("DELETE", path, allowed=(404,))
        _upload(admin, path, archive)


def _versions(admin: Admin, function: str) -> list[str]:
    """Those in the store; none where there is no store. Raises DeployError if it does not say."""
    deadline = time.monotonic() + PATIENCE
    while True:
        response = admin.request("GET", f"{API}/{function}", allowed=(*NO_STORE, *IN_TROUBLE))
        if response.is_success:
            return [str(version) for version in response.json()]
        if response.status_code in NO_STORE or NOT_ENABLED in response.text:
            return []
        if time.monotonic() > deadline:
            raise DeployError(
                f"Pulsar's package store answers {response.status_code}: deployed now, {function} would go on with the"
                " code that it has. Look at the broker's log, and run this again."
            )
        time.sleep(PAUSE)


def _upload(admin: Admin, path: str, archive: Path) -> None:
    """Its place is empty now, and the function needs it at its next start: do not give up at once."""
    form = {
        "metadata": (None, b'{"description":"replaced by chattifier deploy"}', "application/json"),
        "file": (archive.name, archive.read_bytes(), "application/zip"),
    }
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            admin.request("POST", path, files=form, allowed=(409,))
        except DeployError:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE)
        else:
            return
