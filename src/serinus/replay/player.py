"""Runs the real judge over a recorded engine, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, TypeAlias

from serinus.core.deadlines import Limits
from serinus.core.evidence import (
    Blinded,
    CanaryFailed,
    CanaryFault,
    CanaryPassed,
    CanaryUnknown,
    Evidence,
    Heard,
    Progress,
    Witness,
)
from serinus.core.rules import Rules
from serinus.core.status import Reason
from serinus.core.verdict import Standing
from serinus.replay.history import TargetHistory, histories_of
from serinus.replay.outcome import Outcome, Timeline, Turn, Witnessing
from serinus.replay.recorded import RecordedEngine
from serinus.replay.truth import Fault, faults_of
from serinus.runtime.manager import HealthCheckConfig, HealthCheckManager
from serinus.runtime.target import Answer, Asked, HealthCheckTarget
from serinus.simulation.virtual_time import VirtualTimeLoop
from serinus.traces.entries import Trace

__all__ = ["Case", "Change", "case_of", "own_word", "recorded", "replay"]

Change: TypeAlias = Callable[[Rules], Rules]
"""Other rules in place of those that were in force."""


class Case(NamedTuple):
    """A trace made ready to be replayed: its engines, and what was really wrong."""

    name: str
    engines: tuple[RecordedEngine, ...]
    faults: tuple[Fault, ...]
    until: float

    @property
    def histories(self) -> tuple[TargetHistory, ...]:
        """What was seen of each endpoint."""
        return tuple(engine.history for engine in self.engines)


def case_of(trace: Trace, *, name: str = "") -> Case:
    """Make a trace ready. Raises TraceError if there is no endpoint in it."""
    histories = histories_of(trace)
    faults = faults_of(trace, histories)
    engines = tuple(RecordedEngine(history, faults) for history in histories)
    return Case(name, engines, faults, trace.until)


def replay(
    case: Case | Trace,
    rules: Rules | Change | None = None,
    *,
    seed: int = 0,
    phase: float = 0.0,
    learning: Limits | None = None,
) -> Outcome:
    """Judge a recorded engine by `rules`, by a change of those recorded, or by the same.

    `phase` (0 to 1) is the share of the wait by which the second canary is put off, so that several
    replays meet a fault at different times in the wait. `learning`: the limits within which the
    judge learns of the engine, from nothing, as the trace goes on; None: it does not. The same
    case, rules, seed (of the canaries' jitter), phase and limits give the same outcome.
    """
    if isinstance(case, Trace):
        case = case_of(case)
    if isinstance(rules, Rules):
        change: Change = partial(_fixed, rules)
    else:
        change = rules if rules is not None else _same
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_Playing(case, change, seed=seed, phase=phase, learning=learning).play())


def recorded(case: Case) -> Outcome:
    """Return what the recorded judge said then."""
    witnessing = Witnessing()
    canaries, settles = 0, 0.0
    for history in case.histories:
        canaries += sum(
            isinstance(one, CanaryPassed | CanaryFailed | CanaryUnknown) for one in history.seen
        )
        settles = max(settles, *(one.rules.deadline for one in history.ruled))
    steps = [
        (at, history, standing) for history in case.histories for at, standing in _steps(history)
    ]
    for at, history, standing in sorted(steps, key=lambda step: step[0]):
        witnessing.saw(at, history.address, standing, history.rules(at))
    return witnessing.outcome(canaries=canaries, until=case.until, settles=settles)


def own_word(case: Case) -> Outcome | None:
    """Return what a poll of the engines' own health would have said; None if none was recorded.

    A single answer that did not come is not held against an engine (it may have been us); two in a
    row are, and so is one that was not well, or a port at which nobody listens: there the health is
    refused as the canary was. Liveness is the same as readiness.
    """
    words = [(one, *word) for one in case.histories for word in _words(one)]
    if not words:
        return None
    heard = sorted((at, str(history.address), well) for history, at, well in words)
    turns: list[Turn] = []
    together: list[tuple[float, bool]] = []
    last: dict[str, bool] = {}
    for at, target, well in heard:
        if well is not last.get(target, False):
            reason = Reason.DECLARED if well else Reason.CANARY_ERROR
            turns.append(Turn(at, target, well, reason))
        last[target] = well
        together.append((at, all(last.values())))
    live = Timeline(((0.0, True), *together))  # before the first word nothing is known
    return Outcome(tuple(turns), Timeline(tuple(together)), live, 0, case.until, 0.0)


def _words(history: TargetHistory) -> list[tuple[float, bool]]:
    """When an engine's word was known, and whether it was well; none if it was never asked.

    One that was first asked in the middle of a fault is taken for well from its first proof on.
    """
    told: list[tuple[float, bool]] = []
    silent = asked = False
    for one in history.seen:
        if isinstance(one, Heard):
            asked = True
            if one.well is not None or silent:
                told.append((one.at, one.well is True))
            silent = one.well is None
        elif isinstance(one, CanaryFailed) and one.fault is CanaryFault.REFUSED:
            told.append((one.at, False))
        elif isinstance(one, CanaryPassed | Progress) and not told:
            told.append((one.at, True))
    return told if asked else []


def _steps(history: TargetHistory) -> Iterator[tuple[float, Standing]]:
    at = history.registered.at
    for evidence, standing in history.standings():
        at = max(at, evidence.at)
        yield at, standing


def _same(rules: Rules) -> Rules:
    return rules


def _fixed(rules: Rules, _recorded: Rules) -> Rules:
    return rules


class _Playing:
    """One replay, on a loop of its own whose time is the trace's."""

    def __init__(
        self, case: Case, change: Change, *, seed: int, phase: float, learning: Limits | None
    ) -> None:
        self._case = case
        self._change = change
        self._seed = seed
        self._phase = phase
        self._learning = learning
        self._put_off: set[RecordedEngine] = set()
        self._began = 0.0
        self._witnessing = Witnessing()
        self._targets: dict[RecordedEngine, HealthCheckTarget] = {}
        self._over = False

    async def play(self) -> Outcome:
        """Play it to the end of the trace."""
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        manager = HealthCheckManager(
            HealthCheckConfig(seed=self._seed),
            clock=self._now,
            changed=lambda target, _before: self._saw(target),
            moved=self._saw,
        )
        self._manager = manager
        manager.start()
        manager.watch.stop()  # nobody can block a loop in virtual time
        for at, step in self._script(manager):
            if (wait := at - self._now()) > 0:
                await asyncio.sleep(wait)
            step()
        await asyncio.sleep(max(self._case.until - self._now(), 0.0))
        self._over = True
        canaries = sum(target.counts.sent for target in self._targets.values())
        settles = max(target.rules.deadline for target in self._targets.values())
        outcome = self._witnessing.outcome(
            canaries=canaries, until=self._case.until, settles=settles
        )
        await manager.stop()
        return outcome

    def _now(self) -> float:
        return asyncio.get_running_loop().time() - self._began

    def _saw(self, target: HealthCheckTarget) -> None:
        if self._over:
            return
        engine = next(one for one, known in self._targets.items() if known is target)
        address = engine.history.address
        self._witnessing.saw(self._now(), address, target.standing, target.rules)
        if self._phase and target.standing.verdict.ready and engine not in self._put_off:
            self._put_off.add(engine)
            after = self._phase * target.rules.wait
            asyncio.get_running_loop().call_later(after, self._prove, engine)

    def _prove(self, engine: RecordedEngine) -> None:
        """Put the next canary off by a proof, if the engine would have given one."""
        target, now = self._targets[engine], self._now()
        if engine.well(now) and target.standing.verdict.ready and not target.standing.busy:
            self._manager.tell(target, Progress(now, Witness.COUNTERS, flow=False))

    def _script(self, manager: HealthCheckManager) -> list[tuple[float, Callable[[], None]]]:
        """What is done when: registrations, what was told, rules that changed."""
        steps: list[tuple[float, Callable[[], None]]] = []
        for engine in self._case.engines:
            history = engine.history
            at = history.registered.at
            steps.append((at, partial(self._register, manager, engine)))
            steps += [
                (max(ruled.at, at), partial(self._rule, engine, ruled.rules))
                for ruled in history.ruled[1:]
            ]
            for evidence in engine.told:
                if isinstance(evidence, Blinded):  # what it hides must not be judged before it ends
                    when = max(history.registered.at, evidence.since)
                else:
                    when = at = max(at, evidence.at)
                steps.append((when, partial(self._tell, manager, engine, evidence)))
        return sorted(steps, key=lambda step: step[0])

    def _register(self, manager: HealthCheckManager, engine: RecordedEngine) -> None:
        history = engine.history
        target = HealthCheckTarget(
            str(history.address),
            rules=self._change(history.ruled[0].rules),
            registered=history.registered,
            source=Asked(lambda: self._ask(engine)),
            limits=self._learning,
        )
        self._targets[engine] = target
        self._saw(target)
        manager.add(target)

    def _rule(self, engine: RecordedEngine, rules: Rules) -> None:
        target = self._targets[engine]
        target.configured = target.rules = self._change(rules)
        target.taught(target.learned)

    def _tell(
        self, manager: HealthCheckManager, engine: RecordedEngine, evidence: Evidence
    ) -> None:
        manager.tell(self._targets[engine], evidence)

    async def _ask(self, engine: RecordedEngine) -> Answer:
        answer = engine.answer(self._now())
        if answer.at == float("inf"):
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(max(answer.at - self._now(), 0.0))
        return (answer.evidence(self._now()),)
