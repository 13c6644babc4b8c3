"""Takes turns with the other instances of a component in being not live: `core/governor.py`.

A wish is an entry of its own under `v1/restarts/<namespace>/<component>/waiting/`, a turn is a key
under `…/turns/` that only one can hold. Both go with the lease of whoever has put them there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from serinus.core.address import EndpointAddress
from serinus.core.governor import Decision, Step, Surroundings, decide
from serinus.core.status import LiveReason
from serinus.core.system_health import Liveness
from serinus.discovery import Change, Discovery, Leadership, Mirror
from serinus.discovery.records import INSTANCES, RESTARTS, WITHDRAWN, parse

__all__ = ["RestartGovernor"]

logger = logging.getLogger("serinus")

_GLANCE = 0.25
"""Seconds between two looks at what time alone changes, while this instance wishes something."""
_GOVERNED = (LiveReason.ENGINE_DIED, LiveReason.HANG)


class RestartGovernor:
    """One instance's part of it, from `start` to `stop`. `changed` is called when the word turns.

    `component` is set by who knows what is served here; until then nothing is held back.
    """

    def __init__(
        self,
        discovery: Discovery,
        me: int,
        owner: str,
        *,
        budget: str,
        limit: float,
        changed: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._discovery = discovery
        self._me = me
        self._owner = owner
        self._budget = budget
        self._limit = limit
        self._changed = changed
        self._clock = clock
        self._component: EndpointAddress | None = None
        self._prefix = ""
        self._mirrors: dict[str, Mirror] = {}
        self._unfollow: list[Callable[[], None]] = []
        self._left: dict[int, float] = {}
        """When (by the clock) others' records went: they may be on their way to another place."""
        self._news = asyncio.Event()
        self._check = ""
        self._since = 0.0
        self._decision: Decision | None = None
        self._admitted = False
        self._turn: Leadership | None = None
        self._turn_since: float | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take part."""
        self._task = asyncio.create_task(self._run(), name="restart governor")

    async def stop(self) -> None:
        """Take part no more."""
        self._give_back()
        for unfollow in self._unfollow:
            unfollow()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def component(self) -> EndpointAddress | None:
        """The endpoint whose component this process is a replica of; None while none is served."""
        return self._component

    @component.setter
    def component(self, address: EndpointAddress | None) -> None:
        if address is None or address[:2] == (self._component or ())[:2]:
            return
        self._give_back()
        self._component = address
        place = f"{address.namespace}/{address.component}/"
        self._prefix = RESTARTS + place
        for unfollow in self._unfollow:
            unfollow()
        prefixes = (INSTANCES + place, WITHDRAWN + place, self._prefix)
        self._mirrors = {prefix: self._discovery.mirror(prefix) for prefix in prefixes}
        self._left.clear()
        self._unfollow = [mirror.follow(self._noticed) for mirror in self._mirrors.values()]

    def govern(self, liveness: Liveness) -> Liveness:
        """Return liveness as it may be said, and note what is wished."""
        wished = not liveness.live and liveness.reason in _GOVERNED
        check = str(liveness.reason) if wished else ""
        if check != self._check:
            if not self._check:
                self._since = self._clock()
            self._check = check
            self._news.set()
        if not wished or self._admitted or self._component is None:
            return liveness
        why = self._decision.why if self._decision is not None else "the others are asked"
        return Liveness(
            live=True,
            reason=LiveReason.WAITING,
            why=f"a restart would help ({liveness.why}), and waits for its turn: {why}",
        )

    def waiting(self) -> float | None:
        """Return for how many seconds it has waited for its turn; None if it does not."""
        if not self._check or self._admitted or self._component is None:
            return None
        return self._clock() - self._since

    def report(self) -> Mapping[str, Any]:
        """Tell of it, for people."""
        waited = self.waiting()
        return {
            "budget": self._budget,
            "wishes": self._check,
            "admitted": self._admitted,
            "waiting_seconds": None if waited is None else round(waited, 3),
            "why": "" if self._decision is None else self._decision.why,
        }

    # --- inside ------------------------------------------------------------------------------

    def _noticed(self, changes: list[Change]) -> None:
        now = self._clock()
        recent = now - self._discovery.lease
        self._left = {number: at for number, at in self._left.items() if at > recent}
        for key, value in changes:
            number = None if key.startswith(RESTARTS) else _number(key)
            if value is None and number is not None:
                self._left[number] = now
        if self._check:
            self._news.set()

    async def _run(self) -> None:
        while True:
            self._news.clear()
            try:
                self._look()
            except Exception:
                logger.exception("restarts: a mistake of our own: it waits for the limit alone")
                self._wait_alone()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GLANCE if self._check else None):
                    await self._news.wait()

    def _wait_alone(self) -> None:
        """Be admitted at the limit, whatever is the matter: nothing is kept alive for ever."""
        waited = self.waiting()
        if waited is not None and waited >= self._limit:
            self._admitted = True
            self._changed()

    def _look(self) -> None:
        if not self._check:
            if self._decision is not None:
                logger.info("restarts: well again")
                self._give_back()
                self._changed()
            return
        if self._component is None:
            return
        if self._admitted:
            self._keep_turn()
            return
        self._wish()
        decision = decide(
            self._me,
            self._check,
            self._surroundings(),
            budget=self._budget,
            waited=self._clock() - self._since,
            limit=self._limit,
        )
        self._follow(decision)
        if decision != self._decision:
            before, self._decision = self._decision, decision
            if before is None or before.step is not decision.step:
                logger.warning("restarts: %s (%s): %s", decision.step, self._check, decision.why)
            self._changed()

    def _wish(self) -> None:
        record = self._record(check=self._check, admitted=self._admitted)
        self._discovery.announce(self._waiting_key(), record)

    def _follow(self, decision: Decision) -> None:
        if decision.step is Step.GO:
            self._admitted = True
            self._turn_since = self._clock()
            self._wish()
        elif decision.step is Step.CLAIM:
            key = f"{self._prefix}turns/{decision.slot}"
            if self._turn is not None and self._turn.key != key:
                self._resign()
            if self._turn is None:
                self._turn = self._discovery.lead(key, self._record(holder=self._me))
        elif self._turn is not None:
            self._resign()

    def _keep_turn(self) -> None:
        """Give the turn to others when it has lasted long enough: nobody seems to restart this."""
        if self._turn_since is not None and self._clock() - self._turn_since >= self._limit:
            self._turn_since = None
            self._resign()

    def _surroundings(self) -> Surroundings:
        ages = [mirror.age for mirror in self._mirrors.values()]
        recent = self._clock() - self._discovery.lease
        blind = [age for age in ages if age is not None]
        listed = [key for p, m in self._mirrors.items() if p != self._prefix for key in m.entries]
        wishes: dict[int, str] = {}
        holders: dict[int, int] = {}
        admitted: set[int] = set()
        for key, value in self._mirrors[self._prefix].entries.items():
            kind, _, last = key.removeprefix(self._prefix).partition("/")
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                told = parse(value)
                if kind == "waiting":
                    wishes[int(last, 16)] = str(told["check"])
                    if told.get("admitted"):
                        admitted.add(int(last, 16))
                elif kind == "turns":
                    holders[int(last)] = int(told["holder"])
        if self._turn is not None and self._turn.held:
            holders[int(self._turn.key.rpartition("/")[2])] = self._me
        return Surroundings(
            instances={number for key in listed if (number := _number(key)) is not None},
            wishes=wishes,
            holders=holders,
            admitted=admitted,
            left={number for number, at in self._left.items() if at > recent},
            blind_for=max(blind, default=None),
        )

    def _give_back(self) -> None:
        self._resign()
        if self._prefix:
            self._discovery.withdraw(self._waiting_key())
        self._decision, self._admitted = None, False

    def _resign(self) -> None:
        if self._turn is not None:
            self._discovery.resign(self._turn)
            self._turn = None

    def _waiting_key(self) -> str:
        return f"{self._prefix}waiting/{self._me:x}"

    def _record(self, **told: object) -> bytes:
        return json.dumps({**told, "serinus": {"owner": self._owner}}).encode()


def _number(key: str) -> int | None:
    try:
        return int(key.rpartition("/")[2], 16)
    except ValueError:
        return None
