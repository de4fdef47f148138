"""Write the tables of docs/settings.md and the files of k8s/config/ from the code. A test compares them."""

from pathlib import Path

from chattifier import config_pages
from pulsar_data.config import GROUPS

root = Path(__file__).parents[1]
page = root / "docs" / "settings.md"
page.write_text(config_pages.page(page.read_text()))
for group in GROUPS:
    (root / "k8s" / "config" / f"{group}.yaml").write_text(config_pages.file(group))
