"""What is done when an engine is in doubt: hear its own word, and put the last question.

The engine's own `/health` is a witness: it decides nothing. Where it is free it is asked all the
time, so that its "no" brings a canary at once (vLLM's says 503 as soon as its core is dead).
Elsewhere it is asked only in doubt: SGLang's generates, which would look like users' work.

The last question is one canary on top of users' work that has stood still for half of the stall
budget. Its answer is no proof of that work. It settles whom to believe: if it passes and the page
does not show its token, the page stands still and not the engine; if it passes and the page cannot
show work in the middle of a request, work gets done.

Where the page moves only at the end of a request, its standstill is no word against the engine in
the middle of one. Then an own health that generates is heard first: if it says well, tokens came.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from serinus.core.budget import affordable_at
from serinus.core.evidence import CanaryPassed, Heard, Spent
from serinus.core.status import Reason
from serinus.core.verdict import Standing
from serinus.engines import Engine
from serinus.runtime.target import HealthCheckTarget
from serinus.sidecar.asker import Asker, outcome_of
from serinus.sidecar.book import Book
from serinus.sidecar.contact import ContactError
from serinus.sidecar.hearer import Hearer
from serinus.sidecar.life import Stage
from serinus.sidecar.presence import Presence
from serinus.sidecar.words import OwnHealth

__all__ = ["Doubts"]

logger = logging.getLogger("serinus")

_GLANCE = 0.5
"""Seconds between two looks at whether there is any doubt; less where the stall budget is short."""
_LOOKS = 20
"""Looks within a stall budget, at the least."""


class Doubts:
    """Runs beside the canaries of one engine, or of one rank of it.

    `spent` is told of each last question but those that `passed` is told of, which prove that work
    gets done; `heard` of the engine's own word each time that it was asked for, `worked` of work
    that goes on by that word: it proves nothing, and is no silence. `asking` is held by whoever
    sends a canary.
    """

    def __init__(
        self,
        target: HealthCheckTarget,
        engine: Engine,
        *,
        hearer: Hearer,
        presence: Presence,
        book: Book,
        asker: Asker,
        asking: asyncio.Lock,
        spent: Callable[[Spent], None],
        passed: Callable[[CanaryPassed], None],
        heard: Callable[[Heard], None],
        worked: Callable[[float], None],
        health_interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.own_health: OwnHealth | None = None
        self._target = target
        self._engine = engine
        self._hearer = hearer
        self._presence = presence
        self._book = book
        self._asker = asker
        self._asking = asking
        self._spent = spent
        self._passed = passed
        self._heard = heard
        self._worked = worked
        self._health_interval = health_interval
        self._clock = clock
        self._asked_at = float("-inf")
        self._accused = float("-inf")
        """Since when the engine was not ready when its own word was last held against it."""

    @property
    def pace(self) -> float:
        """Seconds between two glances."""
        return min(_GLANCE, self._target.rules.stall / _LOOKS)

    async def glance(self) -> None:
        """Do what doubt asks for now, if there is any."""
        if not self._presence.askable() or self._presence.life.stage is Stage.DEAD:
            return
        standing, now = self._target.standing, self._clock()
        if self._hears(standing, now):
            self.own_health = await self._hearer.hear(since=now - self._health_interval / 2)
            self._heard(self.own_health.told())
        self._compare(self.own_health)
        model = self._presence.model
        if model and self._stands_still(standing, now) and not self._asking.locked():
            self._asked_at = now
            if not await self._goes_on():
                await self._last_question(model)

    def _hears(self, standing: Standing, now: float) -> bool:
        doubted = not standing.verdict.ready or standing.suspected or self._engine.health_is_free
        heard = self.own_health
        return doubted and (heard is None or now - heard.at >= self._health_interval)

    async def _goes_on(self) -> bool:
        """Whether an engine whose page cannot show it says, by generating, that work goes on."""
        page = self._book.last
        shows = page is not None and page.steady and not self._book.trouble
        if shows or not self._engine.traits.health_generates:
            return False
        own = self.own_health = await self._hearer.hear(since=self._clock())
        self._heard(own.told())
        if own.well:
            self._worked(own.at)
        return own.well

    def _compare(self, own: OwnHealth | None) -> None:
        """Say it once for each time that the engine calls itself well and is not ready."""
        standing, verdict = self._target.standing, self._target.standing.verdict
        if (
            verdict.ready
            or verdict.reason in {Reason.SLEEPING, Reason.BLIND}
            or standing.proven_at is None
            or verdict.since == self._accused
        ):
            return
        if own is None or not own.well or own.at < verdict.since - self._health_interval:
            return
        self._accused = verdict.since
        logger.warning(
            "%s: not ready (%s), and the engine's own %s says %s",
            self._target.name,
            verdict.reason,
            self._engine.health_path,
            own,
        )

    def _stands_still(self, standing: Standing, now: float) -> bool:
        rules = self._target.rules
        stalls_at = standing.stalls_at(rules)
        if stalls_at is None or standing.asleep or standing.leased(now):
            return False
        if now < affordable_at(standing.spent, rules, urgent=True):
            return False
        pace = max(rules.deadline, rules.stall / 4)
        return stalls_at - now <= rules.stall / 2 and now - self._asked_at >= pace

    async def _last_question(self, model: str) -> None:
        async with self._asking:
            try:
                async with asyncio.timeout(self._target.rules.deadline):
                    exchange = await self._asker.ask(model, on_top=True)
            except (TimeoutError, ContactError):
                self._spent(Spent(self._clock(), tokens=1, urgent=True))
                return  # the stall budget judges
        outcome = outcome_of(exchange)
        page = self._book.last
        blind = page is None or not page.steady or bool(self._book.trouble)
        if isinstance(outcome, CanaryPassed) and blind:
            self._passed(outcome)
        else:
            self._spent(Spent(self._clock(), tokens=exchange.answer.tokens, urgent=True))
