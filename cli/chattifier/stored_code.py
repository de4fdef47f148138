"""The code of a function in Pulsar's package store, where the worker has one.

`functions update` ignores the zip that it is given when the function's code lies in that store: it takes the old code
from there and calls it a new version. So the new code is put in the place of the old one first; then any way leads to
it. A worker without the package store keeps code elsewhere, and its update works as it should.
"""

from __future__ import annotations

from pathlib import Path

from chattifier.topics import Admin

API = "/admin/v3/packages/function/chat/core"
NO_STORE = (404, 412, 500, 501, 503)


def replace(admin: Admin, function: str, archive: Path) -> None:
    """Every stored version of the function's code becomes this archive. Running instances keep what they have."""
    response = admin.request("GET", f"{API}/{function}", allowed=NO_STORE)
    if not response.is_success:
        return
    for version in response.json():
        path = f"{API}/{function}/{version}"
        admin.request("DELETE", path, allowed=(404,))
        form = {
            "metadata": (None, b'{"description":"replaced by chattifier deploy"}', "application/json"),
            "file": (archive.name, archive.read_bytes(), "application/zip"),
        }
        admin.request("POST", path, files=form)
