"""Names of accounts: one spelling each, so that nobody can take a name that looks like another's."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_ALLOWED: Final = re.compile(r"[a-z0-9._-]{3,32}")


def normalise(typed: str) -> str | None:
    """The one spelling of a typed name (NFKC, case-folded), or None where no account can have that name."""
    name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", typed).casefold())
    return name if _ALLOWED.fullmatch(name) else None
