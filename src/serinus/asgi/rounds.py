"""Goes round the answers on their way now and then, to see which of them wait for their clients.

A server that cannot write on makes the app wait in `send`. To look at the clock after each `send`
would cost too much for the few that wait; a round sees those that wait still. So a wait is known
from its beginning to its end, except for one that falls between two rounds: that is too short to
be taken for an engine's silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["PACE", "Rounds"]

PACE = 0.1
"""Seconds from one round to the next."""


class Rounds:
    """Calls each `look` again and again, as long as there is any."""

    def __init__(self) -> None:
        self._looks: set[Callable[[], None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def join(self, look: Callable[[], None]) -> None:
        """Have it called from now on."""
        if not self._looks:
            self._arm()
        self._looks.add(look)

    def leave(self, look: Callable[[], None]) -> None:
        """Have it called no more; without any there are no rounds."""
        self._looks.discard(look)
        if not self._looks and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(PACE, self._go)

    def _go(self) -> None:
        for look in self._looks:
            look()
        self._arm()
