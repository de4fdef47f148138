"""Write docs/asyncapi.yaml from the code. A test compares the two."""

from pathlib import Path

import yaml

from socket_gateway import asyncapi

path = Path(__file__).parents[1] / "docs" / "asyncapi.yaml"
path.write_text(yaml.safe_dump(asyncapi.document(), sort_keys=False, allow_unicode=True, width=120))
