"""The web client's parts that need no browser."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.running_stack import Stack

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"


def test_a_room_is_right_however_its_events_and_pages_come() -> None:
    """web/js/room.js, by Node's own test runner."""
    if shutil.which("node") is None:
        pytest.skip("Node is not installed: the web client's modules are tried in a browser only")
    command = ["node", "--test", str(Path(__file__).parent / "room.test.mjs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"pass [1-9]", done.stdout)


def test_the_server_says_where_to_connect_and_binds_the_page_to_it(stack: Stack) -> None:
    with httpx.Client(base_url=stack.report.web, trust_env=False) as client:
        auth, socket = stack.report.entrance
        assert client.get("/config.json").json() == {"auth": auth, "sockets": [socket]}
        page = client.get("/")
        assert "text/html" in page.headers["content-type"]
        policy = page.headers["content-security-policy"]
        assert f"connect-src 'self' {auth} {socket};" in policy
        assert "unsafe" not in policy
        assert "javascript" in client.get("/js/main.js").headers["content-type"]
        assert client.get("/%2e%2e/pyproject.toml").status_code == client.get("/nothing").status_code == 404


def test_nothing_in_the_page_parses_html_or_runs_text() -> None:
    ours = [path for path in WEB.rglob("*") if path.suffix in (".js", ".html") and "vendor" not in path.parts]
    assert len(ours) > 10
    for path in ours:
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|\son\w+=|style=", path.read_text()
        )
        assert found == [], path


def test_the_vendored_client_is_the_one_that_the_script_pins() -> None:
    """If not: run scripts/vendor, and write the new checksum here."""
    vendored = hashlib.sha256((WEB / "vendor" / "centrifuge.mjs").read_bytes()).hexdigest()
    assert vendored == "03585130137f7d3cb5eb1385a77662c7fcbd810a144a6eb440b99c6fedabf639"
    assert "MIT" in (WEB / "vendor" / "centrifuge.LICENSE").read_text()
