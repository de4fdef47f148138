"""Whoever stands still at the broker is set going again: a reminder of what this instance has not acked.

Two things are known to stand still in Pulsar's Key_Shared subscriptions (4.0), both where there is little traffic:

- An instance joins, and messages that come while its rooms' earlier ones are not acked yet are put aside. The wake-up
  behind that ack can be swallowed, and then each further message of such a room is put aside as well, until a message
  of another room passes in the same partition, or an instance comes or goes.
- After the broker itself has died, messages are sometimes counted as handed to an instance that never saw them. All
  behind them in their rooms waits.

`redeliver_unacknowledged_messages` ends both: the broker looks again at what was put aside, and sends again what it
believes to be here. What really is here, or was acked in the last tenth of a second, comes twice: harmless, but it
costs. So there are few reminders, and none while much is here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

import pulsar

SOON = (0.2, 0.2, 0.2, 0.4, 1.0, 2.0, 4.0)
"""Seconds between the first reminders: a join is when rooms stand still, and people wait."""
LATER = 10.0
"""Seconds between all that follow."""
FEW = 16
"""Messages here and not acked; with more, a reminder waits until there are fewer."""
LOOK = 0.05
"""Seconds between two looks at that."""


class Nudge:
    """A thread of its own. `held` tells how many messages are here and not acked."""

    def __init__(self, consumers: Mapping[str, pulsar.Consumer], expected: int, held: Callable[[], int]) -> None:
        self._consumers = consumers
        self._expected = expected
        self._held = held

    def start(self) -> None:
        """Begin, once Pulsar has subscribed to as many topics as expected."""
        threading.Thread(target=self._run, name="nudge", daemon=True).start()

    def _run(self) -> None:
        while len(self._consumers) < self._expected:
            time.sleep(LOOK)
        for pause in SOON:
            self._remind_after(pause)
        while True:
            self._remind_after(LATER)

    def _remind_after(self, pause: float) -> None:
        time.sleep(pause)
        while self._held() > FEW:
            time.sleep(LOOK)
        for consumer in list(self._consumers.values()):
            consumer.redeliver_unacknowledged_messages()
