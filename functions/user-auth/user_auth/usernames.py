"""Names of accounts: one spelling each, so that nobody can take a name that looks like another's."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LONGEST: Final = 32
_ALLOWED: Final = re.compile(rf"[a-z0-9._-]{{3,{LONGEST}}}")


def normalise(typed: str) -> str | None:
    """The one spelling of a typed name (NFKC, case-folded), or None where no account can have that name.

    No spelling of a name is longer than the name. What is longer is not even folded: a pile of marks is sorted, by as
    many steps as its length squared.
    """
    if len(typed) > LONGEST:
        return None
    name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", typed).casefold())
    return name if _ALLOWED.fullmatch(name) else None
