"""Which epoch of each room the log has reached: events of an earlier one, behind a rebuild marker, are void."""

from __future__ import annotations

from collections import OrderedDict

from pulsar_data.model import RoomId

ROOMS = 50_000
"""Rooms that are remembered, those seen last: a zombie's void event comes seconds late, never hours."""


class Lives:
    """Remembers the highest epoch seen of each room, in the order of its log."""

    def __init__(self) -> None:
        self._epochs: OrderedDict[RoomId, int] = OrderedDict()

    def counts(self, room: RoomId, epoch: int) -> bool:
        """Whether an entry of this epoch counts. Ask in the order of the log."""
        known = self._epochs.pop(room, 0)
        self._epochs[room] = max(known, epoch)
        if len(self._epochs) > ROOMS:
            self._epochs.popitem(last=False)
        return epoch >= known
