"""Traces of engines that exist in the test alone, made by the real judge in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from serinus.core.evidence import (
    CanaryFailed,
    CanaryFault,
    CanaryPassed,
    Evidence,
    Registered,
)
from serinus.core.rules import Rules
from serinus.runtime.manager import HealthCheckConfig, HealthCheckManager
from serinus.runtime.target import Answer, Asked, HealthCheckTarget
from serinus.simulation.virtual_time import VirtualTimeLoop
from serinus.traces import Entry, Mark, Ruled, Seen, Trace

NAME = "n.c.e"
RULES = Rules(wait=10, deadline=2, stall=20, hang=30, jitter=0)
USUAL = 0.1
"""Seconds that a good canary takes."""
FOREVER = float("inf")


class Engine:
    """Hangs, or answers with errors, within spans of seconds; what hung is answered at the end."""

    def __init__(
        self,
        *,
        hangs: Iterable[tuple[float, float]] = (),
        errors: Iterable[tuple[float, float]] = (),
    ) -> None:
        self._hangs = tuple(hangs)
        self._errors = tuple(errors)

    async def ask(self, now: Callable[[], float]) -> Answer:
        """Answer a canary."""
        sent = now()
        for begin, end in self._hangs:
            if begin <= sent < end:
                await asyncio.sleep(min(end - sent, 1e6))
        await asyncio.sleep(USUAL)
        if any(begin <= sent < end for begin, end in self._errors):
            return (CanaryFailed(now(), sent, CanaryFault.ERROR_ITEM, "oops"),)
        return (CanaryPassed(now(), now() - sent, now() - sent),)


def made(
    engine: Engine | None = None,
    *,
    rules: Rules = RULES,
    until: float = 300.0,
    told: Sequence[Evidence] = (),
    marks: Sequence[tuple[float, str]] = (),
    seed: int = 1,
) -> Trace:
    """Let the judge watch an engine, and record it; `told` is told at its times."""
    seen: list[Seen] = []

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()

        def now() -> float:
            return loop.time() - began

        manager = HealthCheckManager(
            HealthCheckConfig(seed=seed),
            clock=now,
            observe=lambda target, evidence: seen.append(Seen(target.name, evidence)),
        )
        target = HealthCheckTarget(
            NAME,
            rules=rules,
            registered=Registered(now(), canary=True),
            source=Asked(lambda: (engine or Engine()).ask(now)),
        )
        manager.start()
        manager.watch.stop()  # nobody blocks a loop in virtual time
        manager.add(target)
        for evidence in told:
            await asyncio.sleep(max(evidence.at - now(), 0))
            manager.tell(target, evidence)
        await asyncio.sleep(until - now())
        await manager.stop()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(watch())
    return trace_of(*(one.evidence for one in seen if one.at <= until), rules=rules, marks=marks)


def trace_of(
    *seen: Evidence, rules: Rules = RULES, marks: Sequence[tuple[float, str]] = ()
) -> Trace:
    """A trace with this evidence of one endpoint."""
    entries: list[Entry] = [Ruled(seen[0].at, NAME, rules), *(Seen(NAME, one) for one in seen)]
    return Trace((*entries, *(Mark(at, text) for at, text in marks)))


def around(begin: float, end: float, what: str = "hang") -> list[tuple[float, str]]:
    """The marks of a fault."""
    return [(begin, f"fault: {what} begins"), (end, f"fault: {what} ends")]


def passed(at: float, total: float = USUAL) -> CanaryPassed:
    """A canary that passed."""
    return CanaryPassed(at, total, total)


def failed(
    at: float, *, sent: float | None = None, fault: CanaryFault = CanaryFault.TIMEOUT
) -> CanaryFailed:
    """A canary that failed, sent 2 s before."""
    return CanaryFailed(at, at - 2 if sent is None else sent, fault)
