"""What a part's own log tells of it."""

from __future__ import annotations

import re

_STORE_WAS_SLOW = re.compile(rb'"event": "(redis|cassandra|pulsar)_\w+", "error": "\w*Time\w*"')


def tells_of_a_defect(line: bytes) -> bool:
    """An exception: as Python prints one, or as our logs tell where it was. Not that a store did not answer in time:
    that is what it should say then.
    """
    return b"Traceback" in line or (b'"where"' in line and not _STORE_WAS_SLOW.search(line))
