"""Targets for tests of the manager alone: what is asked, when, and what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from serinus.core.evidence import CanaryFailed, CanaryFault, CanaryPassed, Evidence, Registered
from serinus.core.rules import Rules
from serinus.runtime.manager import HealthCheckConfig, HealthCheckManager
from serinus.runtime.target import Answer, Asked, HealthCheckTarget

RULES = Rules(wait=10, deadline=1, stall=60, hang=60, jitter=0)


class Question:
    """Asks of nobody: answers after a while, and remembers when it was asked."""

    def __init__(self, *, latency: float = 0.01) -> None:
        self.latency = latency
        self.good = True
        self.asked: list[float] = []
        self.answer: Callable[[float, float], Answer] = self._by_goodness

    async def __call__(self) -> Answer:
        """Answer."""
        loop = asyncio.get_running_loop()
        sent = loop.time()
        self.asked.append(sent)
        await asyncio.sleep(self.latency)
        return self.answer(sent, loop.time())

    def _by_goodness(self, sent: float, now: float) -> Answer:
        if self.good:
            return (CanaryPassed(now, now - sent, now - sent),)
        return (CanaryFailed(now, sent, CanaryFault.ERROR_ITEM, "bad"),)


class Told(Asked):
    """Answers, shows what it is told to, and passes on that it is in doubt."""

    def __init__(
        self,
        question: Callable[[], Awaitable[Answer]],
        look: Callable[[float], Iterable[Evidence]],
        alerted: Callable[[bool], None] = lambda _alert: None,
    ) -> None:
        super().__init__(question)
        self._look = look
        self._alerted = alerted

    def look(self, now: float, /) -> Iterable[Evidence]:
        """Look."""
        return self._look(now)

    def alerted(self, alert: bool, /) -> None:
        """Pass it on."""
        self._alerted(alert)


def target(
    ask: Callable[[], Awaitable[Answer]],
    *,
    name: str = "t",
    rules: Rules = RULES,
    look: Callable[[float], Iterable[Evidence]] = lambda _now: (),
    alerted: Callable[[bool], None] = lambda _alert: None,
) -> HealthCheckTarget:
    """Make a target that is registered now, with a canary."""
    registered = Registered(asyncio.get_running_loop().time(), canary=True)
    source = Told(ask, look, alerted)
    return HealthCheckTarget(name, rules=rules, registered=registered, source=source)


def manager(**config: Any) -> HealthCheckManager:
    """Make a manager on the loop's clock; `changed` may be given besides its configuration."""
    changed = config.pop("changed", lambda _target, _before: None)
    chosen = HealthCheckConfig(**({"seed": 1} | config))
    clock = asyncio.get_running_loop().time
    return HealthCheckManager(chosen, clock=clock, changed=changed)
