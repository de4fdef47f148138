"""Write docs/openapi.yaml from the code. A test compares the two."""

from pathlib import Path

import yaml

from user_auth import app, openapi
from user_auth.settings import Settings

document = openapi.document(app.router(Settings()).endpoints)
path = Path(__file__).parents[2] / "docs" / "openapi.yaml"
path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120))
