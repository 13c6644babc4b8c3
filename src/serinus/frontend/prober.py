"""One prober for the whole fleet: whichever frontend holds the key probes, the others read.

In office it goes through all instances that say they are ready, evenly over an interval, and asks
again at once before it believes a failure. What it finds amiss it announces, and nothing else: an
instance that cannot be reached has an entry for as long as that is so. When the prober dies, its
entries go with its lease; the frontends believe them until the next one has looked.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from random import Random

from serinus.core.instance import Instance
from serinus.discovery import Discovery
from serinus.discovery.findings import ACCOUNT, FINDINGS, PROBER, Account, Finding, encode_any
from serinus.frontend.reach import Outcome, Reached
from serinus.frontend.view import View
from serinus.settings import Settings

__all__ = ["Prober"]

logger = logging.getLogger("serinus")

_AT_ONCE = 64
"""Probes in flight."""
_AGAIN = 0.5
"""Seconds before a failure is asked about again, at the most."""
_SHORTEST = 0.2
"""Seconds that a round takes at the least."""


class Prober:
    """Runs for election, and probes while it is in office."""

    def __init__(
        self,
        discovery: Discovery,
        view: View,
        reach: Callable[[Instance], Awaitable[Reached]],
        settings: Settings,
        *,
        name: str,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        seed: int | None = None,
    ) -> None:
        self.name = name
        self.in_office = False
        self.outcomes: Counter[str] = Counter({str(one): 0 for one in Outcome})
        self._discovery = discovery
        self._view = view
        self._reach = reach
        self._interval = settings.outside_interval
        self._rate = settings.outside_rate
        self._eject = settings.outside_policy == "eject"
        self._clock = clock
        self._wall = wall
        self._random = Random(seed)
        self._marks: dict[str, Finding] = {}
        """What this prober announces: what is unreachable, and what no longer is, for a round."""
        self._account: Account | None = None

    async def run(self) -> None:
        """Probe whenever this process holds the key, until cancelled."""
        if not self._interval:
            return
        leadership = self._discovery.lead(PROBER, json.dumps({"by": self.name}).encode())
        try:
            while True:
                await leadership.won()
                logger.info("this frontend probes the fleet from outside")
                self.in_office = True
                office = asyncio.create_task(self._serve(), name="prober in office")
                lost = asyncio.create_task(leadership.lost(), name="prober's key")
                try:
                    await asyncio.wait({office, lost}, return_when=asyncio.FIRST_COMPLETED)
                    if office.done() and (error := office.exception()) is not None:
                        logger.error("the prober failed, and begins anew", exc_info=error)
                        await asyncio.sleep(_AGAIN)
                finally:
                    self.in_office = False
                    for task in (office, lost):
                        task.cancel()
                    await asyncio.gather(office, lost, return_exceptions=True)
                    self._leave()
                logger.warning("another frontend may probe the fleet from outside now")
        finally:
            self._discovery.resign(leadership)

    def _leave(self) -> None:
        for name in self._marks:
            self._discovery.withdraw(self._key(name))
        self._marks.clear()
        self._discovery.withdraw(ACCOUNT)

    # --- in office ---------------------------------------------------------------------------

    async def _serve(self) -> None:
        suspects = []
        for name, finding in self._view.unreachable().items():
            self._mark(
                name, finding._replace(by=self.name, eject=self._eject)
            )  # until it has looked for itself
            suspects.append(name)
        self._tell(0.0)
        await self._round(suspects, span=0.0)
        while True:
            names = list(self._view.names)
            self._random.shuffle(names)
            span = max(self._interval, len(names) / self._rate, _SHORTEST)
            began = self._clock()
            self._tell(span)
            await self._round(names, span=span)
            self._tidy()
            left = began + span - self._clock()
            await asyncio.sleep(max(left, 0.0))

    async def _round(self, names: list[str], *, span: float) -> None:
        """Probe all of them, spread evenly over the span."""
        began = self._clock()
        room = asyncio.Semaphore(_AT_ONCE)
        told = began
        async with asyncio.TaskGroup() as group:
            for place, name in enumerate(names):
                due = began + span * (place + self._random.random()) / len(names)
                while (wait := due - self._clock()) > 0:
                    await asyncio.sleep(min(wait, max(self._interval, _SHORTEST)))
                    if self._clock() - told >= self._interval:
                        told = self._clock()
                        self._tell(span)
                await room.acquire()
                group.create_task(self._probe(name, room), name=f"probe of {name}")

    async def _probe(self, name: str, room: asyncio.Semaphore) -> None:
        try:
            instance = self._view.instance(name)
            if instance is None or not instance.ready:
                return
            found = await self._ask(instance)
            if found.outcome is Outcome.FAILED and name not in self._marks:
                await asyncio.sleep(_AGAIN * self._random.random())
                found = await self._ask(instance)
            self._take(name, found)
        finally:
            room.release()

    async def _ask(self, instance: Instance) -> Reached:
        found = await self._reach(instance)
        self.outcomes[str(found.outcome)] += 1
        return found

    def _take(self, name: str, found: Reached) -> None:
        known = self._marks.get(name)
        if found.outcome is Outcome.FAILED:
            if known is None or known.reachable:
                logger.warning("%s cannot be reached from outside: %s", name, found.reason)
                since = datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="milliseconds")
                self._mark(name, Finding(False, found.reason, since, self.name, self._eject))  # noqa: FBT003
        elif found.outcome is Outcome.REACHED and known is not None:
            if known.reachable:  # the others have had a round's time to read it
                del self._marks[name]
                self._discovery.withdraw(self._key(name))
            else:
                logger.warning("%s can be reached from outside again", name)
                self._mark(name, Finding(True, by=self.name))  # noqa: FBT003

    def _mark(self, name: str, finding: Finding) -> None:
        self._marks[name] = finding
        self._discovery.announce(self._key(name), encode_any(finding))

    def _tidy(self) -> None:
        """Take back what is said of instances that are gone, or not ready in their own eyes."""
        for name in tuple(self._marks):
            instance = self._view.instance(name)
            if instance is None or not instance.ready:
                del self._marks[name]
                self._discovery.withdraw(self._key(name))

    def _tell(self, span: float) -> None:
        """Let the others know that this prober is at work."""
        unreachable = sum(not mark.reachable for mark in self._marks.values())
        self._discovery.announce(
            ACCOUNT,
            encode_any(
                Account(
                    self.name,
                    self.outcomes.total(),
                    self.outcomes[str(Outcome.FAILED)],
                    unreachable,
                    self.outcomes[str(Outcome.UNKNOWN)],
                    span,
                )
            ),
        )

    def _key(self, name: str) -> str:
        return f"{FINDINGS}{name}/{self.name}"
