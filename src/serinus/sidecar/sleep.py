"""Does the engine sleep: what its metrics page says, and the page that it may have for that.

Its owner has put it to sleep or paused it, which is no fault of its own. An engine that brings
tokens does not sleep, whatever it says.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from serinus.core.evidence import Sleep
from serinus.engines import Engine
from serinus.engines.capabilities import TellsSleep
from serinus.runtime.target import HealthCheckTarget
from serinus.sidecar.client import EngineClient
from serinus.sidecar.contact import ContactError
from serinus.sidecar.ledger import Seen

__all__ = ["SleepWatch"]

_PATIENCE = 1.0
"""Seconds that its page may take: it asks the core, and a frozen one never answers."""
_PACE = 0.5
"""Seconds between two questions, at the least."""
_AFTER_SILENCE = 5.0
_AFTER_ABSENCE = 60.0
"""Seconds before a page that kept silent, or is not there, is asked for again."""
_MOST_BYTES = 4096


class SleepWatch:
    """Follows one engine's word on its sleep; of one that has none it says nothing.

    `tell` is called when it falls asleep or wakes up.
    """

    def __init__(
        self,
        engine: Engine,
        client: EngineClient,
        judged: HealthCheckTarget,
        *,
        tell: Callable[[Sleep], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine if isinstance(engine, TellsSleep) else None
        self._client = client
        self._judged = judged
        self._tell = tell
        self._clock = clock
        self._page: bool | None = None
        self._route: bool | None = None
        self._answered = False
        self._next = float("-inf")

    def forget(self) -> None:
        """Begin again, with another engine."""
        self._page = self._route = None
        self._next = float("-inf")

    def read(self, seen: Seen, *, asleep: bool | None) -> None:
        """Take in what a page of metrics said, and whether work got done until then."""
        self._page = asleep
        self._conclude(brought=seen.progress)

    async def look(self) -> None:
        """Ask the engine's own page, if it is time for it."""
        path = None if self._engine is None else self._engine.sleep_path
        if self._engine is None or path is None or self._clock() < self._next:
            return
        try:
            page = await self._client.get(path, seconds=_PATIENCE, limit=_MOST_BYTES)
        except ContactError:
            self._route = self._route if self._answered else None  # one silence is no word
            self._answered, self._next = False, self._clock() + _AFTER_SILENCE
            return
        self._answered = True
        self._route = self._engine.read_sleep(page.status, page.body)
        self._next = self._clock() + (_AFTER_ABSENCE if self._route is None else _PACE)
        self._conclude(brought=False)

    def _conclude(self, *, brought: bool) -> None:
        """Tell what has changed; either word is enough for sleep."""
        words = {self._page, self._route}
        known = self._judged.standing.asleep is not None
        if True in words:
            if not known and not brought:
                self._tell(Sleep(self._clock(), asleep=True, detail=self._said()))
        elif False in words and known:
            self._tell(Sleep(self._clock(), asleep=False, detail=""))

    def _said(self) -> str:
        if self._page or self._engine is None:
            return "its metrics page says so"
        return f"its {self._engine.sleep_path} says so"
