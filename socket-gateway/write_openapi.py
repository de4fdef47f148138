"""Write docs/server-api.yaml from the code. A test compares the two."""

from pathlib import Path

import yaml

from socket_gateway import api_document

path = Path(__file__).parents[1] / "docs" / "server-api.yaml"
path.write_text(yaml.safe_dump(api_document.document(), sort_keys=False, allow_unicode=True, width=120))
