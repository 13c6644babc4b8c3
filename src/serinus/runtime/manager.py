"""One scheduler for all canaries.

It asks what is due (`core.pacing`), sends it, reads the outcome, and folds it into the target's
standing. It holds no rule of judgement. At most one canary of a target is in flight; one that is
out of time is cancelled and waited for, and until it has ended there is no second on top of it:
meanwhile traffic is still looked at, and a canary that would be due counts as stuck.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from serinus.core.evidence import (
    Blinded,
    CanaryFailed,
    CanaryFault,
    CanaryPassed,
    CanaryUnknown,
    Evidence,
    Load,
    Tick,
)
from serinus.core.own_state import OwnState, excuse_of
from serinus.core.pacing import ask_at, look_at, may_hurry, next_exam
from serinus.core.verdict import Verdict
from serinus.errors import excerpt
from serinus.runtime.agenda import SLACK, Agenda
from serinus.runtime.loop_watch import LoopWatch, slept
from serinus.runtime.target import Answer, HealthCheckTarget, Run

__all__ = ["HealthCheckConfig", "HealthCheckManager"]

logger = logging.getLogger("serinus")

_NEVER = float("inf")
_OUTCOMES = (CanaryPassed, CanaryFailed, CanaryUnknown)


@dataclass(frozen=True, slots=True)
class HealthCheckConfig:
    """How the manager behaves towards all targets. Durations are seconds."""

    concurrency: int = 256
    """Canaries in flight at once; further ones wait their turn, the longest due first.

    A canary whose handler does not end gives its place to the others.
    """
    cancel_grace: float = 1.0
    """How long the handler of a cancelled canary may take to end before it is reported."""
    seed: int | None = None
    """Of the jitter; None takes one from the system."""


class HealthCheckManager:
    """Sends canaries when they are due and keeps every target's standing.

    `changed(target, before)` is called after each change of a verdict, `moved(target)` after one of
    what liveness rests on (a hang, a death) that left the verdict as it was. `observe(target,
    evidence)` is called with each piece of evidence that is folded, in that order, the registration
    first; it must be quick and must not raise.
    """

    def __init__(
        self,
        config: HealthCheckConfig | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        changed: Callable[[HealthCheckTarget, Verdict], None] = lambda _target, _before: None,
        moved: Callable[[HealthCheckTarget], None] = lambda _target: None,
        observe: Callable[[HealthCheckTarget, Evidence], None] | None = None,
        slept: Callable[[], float] = slept,
    ) -> None:
        self.config = config if config is not None else HealthCheckConfig()
        self._clock = clock
        self.watch = LoopWatch(slept=slept, trouble=self._troubled)
        self.excused = 0
        self.trouble: Blinded | None = None
        """The last trouble of our own."""
        self._changed = changed
        self._moved = moved
        self._observe = observe
        self._random = Random(self.config.seed)
        self._targets: dict[HealthCheckTarget, None] = {}
        self._waiting: dict[HealthCheckTarget, None] = {}
        self._agenda = Agenda(self._attend, clock=clock, lost=lambda: self.watch.lost)
        self._in_flight: set[Run] = set()
        self._stuck: set[Run] = set()

    def start(self) -> None:
        """Begin, on the running loop; also after a stop."""
        self.watch.start()
        for target in self._targets:
            self._schedule(target)
        self._agenda.open()

    async def stop(self) -> None:
        """Send no more, cancel what is in flight, and wait for it within the cancel grace."""
        self.pause()
        for target in tuple(self._targets):
            self.remove(target)
        runs = self._in_flight | self._stuck
        tasks = [run.task for run in runs if run.task is not None]
        for run in runs:
            self._cancel(run)
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=self.config.cancel_grace)
            for task in stuck:
                logger.error("%s does not end though it was cancelled", task.get_name())
        self.watch.stop()

    def pause(self) -> None:
        """Send no more canaries; what is told is still folded."""
        self._agenda.close()
        self._waiting.clear()

    @property
    def in_flight(self) -> int:
        """Canaries in flight, those whose handlers do not end included."""
        return len(self._in_flight) + len(self._stuck)

    def add(self, target: HealthCheckTarget) -> None:
        """Watch a target from now on; its first canary goes out at once."""
        self._targets[target] = None
        if self._observe is not None:
            self._observe(target, target.standing.verdict.evidence)
        self._schedule(target)

    def remove(self, target: HealthCheckTarget) -> None:
        """Forget a target; a canary in flight is cancelled."""
        self._targets.pop(target, None)
        self._waiting.pop(target, None)
        self._agenda.drop(target)
        if target.run is not None and not target.run.over:
            self._give_up(target, target.run)

    def tell(self, target: HealthCheckTarget, *told: Evidence) -> None:
        """Fold evidence into a target's standing, in order, and plan what follows."""
        self._fold(target, told)
        if target in self._targets:
            self._schedule(target)

    def hurry(self, target: HealthCheckTarget) -> bool:
        """Send the next routine canary now, for a hint that is no evidence; say whether it is sent.

        At most one such is sent in each wait, however often something is hinted at.
        """
        now, rules = self._clock(), target.rules
        if target not in self._targets or target.run is not None or target in self._waiting:
            return False
        full = len(self._in_flight) >= self.config.concurrency
        if full or not self._agenda.is_open or now < target.hurried_at + rules.wait:
            return False
        if not may_hurry(target.standing, rules, now=now):
            return False
        target.hurried_at = now
        self._agenda.drop(target)
        self._send(target)
        return True

    def _fold(self, target: HealthCheckTarget, told: Sequence[Evidence]) -> None:
        standing, rules, observe = target.standing, target.rules, self._observe
        before, hung_since, died = standing.verdict, standing.hung_since, standing.died
        if not told and before.ready and not standing.suspected:
            return  # nothing is new, and nobody has been alerted
        for evidence in told:
            was, standing = standing, standing.after(evidence, rules)
            target.learn(evidence, was, standing)
            if observe is not None:
                observe(target, evidence)
        target.standing = standing
        target.source.alerted(not standing.verdict.ready or standing.suspected)
        if standing.verdict is not before:
            self._announce(target, before)
        elif standing.hung_since != hung_since or standing.died is not died:
            self._moved(target)

    def _announce(self, target: HealthCheckTarget, before: Verdict) -> None:
        try:
            self._changed(target, before)
        except Exception:
            logger.exception("%s: its change of verdict could not be passed on", target.name)

    def _look(self, target: HealthCheckTarget, now: float) -> tuple[Evidence, ...]:
        target.looked_at = now
        try:
            return tuple(target.source.look(now))
        except Exception:
            logger.exception("%s: its traffic cannot be looked at", target.name)
            return ()

    # --- what is due -------------------------------------------------------------------------

    def _schedule(self, target: HealthCheckTarget) -> None:
        now, early = self._clock(), self._random.random()
        standing, rules = target.standing, target.rules
        at = look_at(standing, rules, now=now, early=early)
        if self._can_be_asked(target):
            at = min(at, ask_at(standing, rules, early=early))
            if target.examiner is not None:
                at = min(at, self._exam_at(target, early))
        self._agenda.plan(target, max(at, now))

    @staticmethod
    def _exam_at(target: HealthCheckTarget, early: float) -> float:
        examiner = target.examiner
        if examiner is None:
            return _NEVER
        wanted = examiner.wanted(target.rules)
        return next_exam(target.standing, target.rules, wanted, early=early)

    def _can_be_asked(self, target: HealthCheckTarget) -> bool:
        if target.run is not None:
            return target.run in self._stuck and target.standing.verdict.ready
        return target not in self._waiting

    def _attend(self, target: HealthCheckTarget) -> None:
        """Take a look at what traffic shows, then ask if that is still what is due."""
        if target in self._targets:
            now = self._clock()
            if self._goes_on(target, now):
                return
            seen = self._look(target, now)
            if not seen and target.standing.busy:
                seen = (Tick(now),)
            self._fold(target, seen)
            if not self._ask_if_due(target, now):
                self._schedule(target)

    def _goes_on(self, target: HealthCheckTarget, now: float) -> bool:
        """Whether a glance shows that work goes on, of which nothing is in doubt; then that is all.

        Doubts are learned to be short, and a busy endpoint should not be judged anew every second.
        """
        standing, rules = target.standing, target.rules
        if not (rules.doubt and standing.pending and standing.verdict.ready):
            return False
        again = target.looked_at + rules.wait
        if standing.suspected or standing.unanswered or now >= again - SLACK:
            return False
        flow_at = target.source.glance(now)
        if flow_at is None or flow_at <= standing.flow_at or flow_at + rules.doubt <= now + SLACK:
            return False
        self._agenda.plan(target, min(flow_at + rules.doubt, again))
        return True

    def _ask_if_due(self, target: HealthCheckTarget, now: float) -> bool:
        if not self._can_be_asked(target):
            return False
        exam = False
        if target.examiner is not None and target.run is None:
            exam = self._exam_at(target, 1.0) <= now + SLACK
        if not (exam or self._asks_by(target, now, now + SLACK)):
            return False
        self._agenda.drop(target)
        if target.run is not None:
            since = target.standing.asked_at
            sent = target.run.sent if since is None else since
            self.tell(target, CanaryFailed(now, sent, CanaryFault.STUCK))
        elif len(self._in_flight) < self.config.concurrency:
            self._send(target, exam=exam)
        else:
            self._waiting[target] = None
        return True

    def _asks_by(self, target: HealthCheckTarget, now: float, until: float) -> bool:
        """Whether a question may be sent by then, and no look is due before it."""
        standing, rules = target.standing, target.rules
        at = ask_at(standing, rules, early=1.0)
        return at <= until and at <= look_at(standing, rules, now=now, early=1.0)

    def _admit(self) -> None:
        """Give the places that are free to those who wait."""
        while self._waiting and len(self._in_flight) < self.config.concurrency:
            target = next(iter(self._waiting))
            del self._waiting[target]
            self._attend(target)

    # --- one canary --------------------------------------------------------------------------

    def _send(self, target: HealthCheckTarget, *, exam: bool = False) -> None:
        loop, now = asyncio.get_running_loop(), self._clock()
        rules = target.rules
        seconds = max(rules.on_top if target.standing.busy else 0.0, rules.deadline)
        examiner = target.examiner
        ask: Callable[[], Awaitable[Answer]] = target.source.ask
        if exam and examiner is not None:
            ask, seconds = examiner.examine, seconds + examiner.patience
        run = Run(sent=now, lost_before=self.watch.lost, asleep_before=self.watch.asleep)
        target.run = run
        target.counts.sent += 1
        self._in_flight.add(run)
        run.timer = loop.call_later(seconds, self._out_of_time, target, run)
        run.task = loop.create_task(self._ask(target, run, ask), name=f"canary {target.name}")
        run.task.add_done_callback(lambda task: self._ended(target, run, task))

    async def _ask(
        self, target: HealthCheckTarget, run: Run, ask: Callable[[], Awaitable[Answer]]
    ) -> None:
        answer: tuple[Evidence, ...]
        try:
            answer = tuple(await ask())
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is evidence
            detail = f"{type(error).__name__}: {excerpt(error)}"
            answer = (CanaryFailed(self._clock(), run.sent, CanaryFault.RAISED, detail),)
        if not run.over:
            self._settle(target, run, answer)

    def _settle(self, target: HealthCheckTarget, run: Run, answer: tuple[Evidence, ...]) -> None:
        """Fold an outcome, after what traffic has shown since the canary was sent.

        What follows is planned by who calls, or when the canary has ended, which may be at once.
        """
        run.over = True
        run.late = self.watch.lost - run.lost_before
        now = self._clock()
        outcome = self._weighed(target, run, answer)
        conclusive = self._count(target, outcome)
        self._fold(target, (*self._look(target, now), *outcome))
        if not conclusive and self._asks_by(target, now, now):
            self._fold(target, (CanaryUnknown(now, "asking brought nothing"),))

    def _weighed(
        self,
        target: HealthCheckTarget,
        run: Run,
        answer: Iterable[Evidence],
        *,
        span: float | None = None,
    ) -> tuple[Evidence, ...]:
        """Take failures that may be our own fault for what they are: no outcome, and our trouble.

        `span`: the seconds that the endpoint had, the canary's deadline if None.
        """
        weighed: list[Evidence] = []
        for one in answer:
            why = self._excuse(target, run, one, span) if isinstance(one, CanaryFailed) else ""
            if why:
                self.excused += 1
                self.trouble = Blinded(one.at, run.sent, why)
                weighed += [self.trouble, CanaryUnknown(one.at, why)]
            else:
                weighed.append(one)
        return tuple(weighed)

    def _excuse(
        self, target: HealthCheckTarget, run: Run, failed: CanaryFailed, span: float | None
    ) -> str:
        ours = excuse_of(
            failed,
            span=target.rules.deadline if span is None else span,
            lost=self.watch.lost - run.lost_before,
            asleep=self.watch.asleep - run.asleep_before,
        )
        return ours or target.source.excuse(failed)

    def _troubled(self, seconds: float, why: str) -> None:
        """Take in trouble of our own: silence that it hid does not count."""
        now = self._clock()
        self.trouble = trouble = Blinded(now, now - seconds, why)
        logger.warning("trouble of our own: %s; nobody is accused of what it hid", why)
        for target in tuple(self._targets):
            seen = self._look(target, now)  # work that came shortly before was not known yet
            working = target.standing.busy or any(isinstance(o, Load) and o.pending for o in seen)
            if working or target.standing.hung_since is not None:
                self.tell(target, trouble, *seen)
            elif seen:
                self.tell(target, *seen)

    def own_state(self) -> OwnState:
        """Return what is known of ourselves."""
        watch = self.watch
        return OwnState(
            loop_late=watch.late,
            loop_lost=watch.lost,
            suspensions=watch.suspensions,
            suspended=watch.suspended,
            excused=self.excused,
            trouble=self.trouble,
        )

    def _out_of_time(self, target: HealthCheckTarget, run: Run) -> None:
        if run.over:
            return
        now = self._clock()
        self._give_up(target, run)
        self._settle(target, run, (CanaryFailed(now, run.sent, CanaryFault.TIMEOUT),))
        if target in self._targets:
            self._schedule(target)
        run.lost_before, run.asleep_before = self.watch.lost, self.watch.asleep  # of its grace

    def _give_up(self, target: HealthCheckTarget, run: Run) -> None:
        """Cancel a canary whose outcome is settled, and see to it that its handler ends."""
        run.over = True
        self._cancel(run)
        loop, grace = asyncio.get_running_loop(), self.config.cancel_grace
        run.timer = loop.call_later(grace, self._does_not_end, target, run)

    def _cancel(self, run: Run) -> None:
        if run.timer is not None:
            run.timer.cancel()
        if run.task is not None:
            run.task.cancel()

    def _does_not_end(self, target: HealthCheckTarget, run: Run) -> None:
        if run.task is None or run.task.done():
            return
        now, grace = self._clock(), self.config.cancel_grace
        failed = CanaryFailed(now, run.sent, CanaryFault.STUCK)
        outcome = self._weighed(target, run, (failed,), span=grace)
        if failed not in outcome and target in self._targets:  # it had no time to end in: more
            run.lost_before, run.asleep_before = self.watch.lost, self.watch.asleep
            run.timer = asyncio.get_running_loop().call_later(
                grace, self._does_not_end, target, run
            )
            self.tell(target, *outcome)
            return
        self._in_flight.discard(run)
        self._stuck.add(run)
        logger.error("%s: a canary does not end though it was cancelled", target.name)
        if target in self._targets:
            self.tell(target, *self._look(target, now), failed)
        self._admit()

    def _ended(self, target: HealthCheckTarget, run: Run, task: asyncio.Task[None]) -> None:
        if run.timer is not None:
            run.timer.cancel()
        self._in_flight.discard(run)
        self._stuck.discard(run)
        target.run = None
        error = None if task.cancelled() else task.exception()
        if not run.over:
            detail = "its handler raised a cancellation that nobody asked for"
            if error is not None:
                detail = f"{type(error).__name__}: {excerpt(error)}"
            failed = CanaryFailed(self._clock(), run.sent, CanaryFault.RAISED, detail)
            self._settle(target, run, (failed,))
        elif error is not None:
            logger.error("%s: an outcome cannot be told", target.name, exc_info=error)
            self.tell(target, CanaryUnknown(self._clock(), "its outcome cannot be told"))
        if target in self._targets:
            self._schedule(target)
        self._admit()

    def _count(self, target: HealthCheckTarget, answer: tuple[Evidence, ...]) -> bool:
        """Count the outcomes in an answer, and say whether there was one."""
        counts = target.counts
        told = False
        for evidence in answer:
            if isinstance(evidence, CanaryPassed):
                counts.passed += 1
                counts.seconds += evidence.total
            elif isinstance(evidence, CanaryFailed):
                counts.failed += 1
            elif isinstance(evidence, CanaryUnknown):
                counts.unknown += 1
            else:
                continue
            told = True
        counts.sent -= not told  # there was no point in a canary, and none went out
        return told
