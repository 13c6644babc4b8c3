"""What the manager watches: anything that can be asked, and has a standing."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeAlias

from serinus.core.deadlines import Learned, Limits, tuned
from serinus.core.evidence import CanaryFailed, CanaryPassed, Evidence, Registered
from serinus.core.pacing import Exam
from serinus.core.rules import Rules
from serinus.core.verdict import Standing

__all__ = [
    "Answer",
    "Asked",
    "CanaryCount",
    "Examines",
    "Gauges",
    "HealthCheckTarget",
    "Run",
    "Source",
]

_NOT_YET = float("-inf")

Answer: TypeAlias = Iterable[Evidence]
"""What asking brought. One who found that there is no point in a canary now (users' work, a port
that is closed) brings that instead, as Load or Loading, and no canary is counted."""


class Source(ABC):
    """Where the evidence on a target comes from. One that only answers has nothing but `ask`."""

    __slots__ = ()

    @abstractmethod
    async def ask(self) -> Answer:
        """Send one canary and return its outcome; it may raise, which is a failed canary too."""

    def look(self, now: float, /) -> Iterable[Evidence]:  # noqa: ARG002 - see below
        """Return what traffic has shown since the last look, and never block.

        Its Load comes first: it says how silent the work is, by which the rest is judged.
        """
        return ()

    def glance(self, now: float, /) -> float | None:  # noqa: ARG002
        """Say cheaply when work in flight last went on; None if there is none, or nobody knows.

        Between two looks, and with nothing in doubt, that is all that is looked at.
        """
        return None

    def alerted(self, alert: bool, /) -> None:  # noqa: FBT001, B027 - a call's only word
        """Take in whether the target is in doubt."""

    def excuse(self, failed: CanaryFailed, /) -> str:  # noqa: ARG002
        """Say why a failed canary may be no fault of the target's; nothing if it is."""
        return ""


class Asked(Source):
    """What is only asked, by a callable; `excuse` is as in `Source`."""

    __slots__ = ("_excuse", "_question")

    def __init__(
        self,
        question: Callable[[], Awaitable[Answer]],
        *,
        excuse: Callable[[CanaryFailed], str] = lambda _failed: "",
    ) -> None:
        self._question = question
        self._excuse = excuse

    async def ask(self) -> Answer:
        """Ask."""
        return await self._question()

    def excuse(self, failed: CanaryFailed, /) -> str:
        """Say why it may be no fault of the target's."""
        return self._excuse(failed)


class Gauges(Protocol):
    """Who measures an endpoint's canaries."""

    def canary(self, passed: CanaryPassed, before: Standing, /) -> None:
        """Take in one that passed, and how the endpoint stood before it."""


class Examines(Protocol):
    """Who examines a target's answers: an exam is a canary of more tokens, and proves as much."""

    examine: Callable[[], Awaitable[Answer]]
    """Puts the question. A first token that is late is a failed canary; nothing else is, however
    the answer goes on, within `patience`."""

    def wanted(self, rules: Rules) -> Exam:
        """Say when an exam is wanted."""

    @property
    def patience(self) -> float:
        """The seconds that an exam may take beyond a canary's deadline."""


class Run:
    """One canary in flight: its task, its timer, and whether its outcome is known."""

    __slots__ = ("asleep_before", "late", "lost_before", "over", "sent", "task", "timer")

    def __init__(self, *, sent: float, lost_before: float, asleep_before: float) -> None:
        self.sent = sent
        self.lost_before = lost_before
        self.asleep_before = asleep_before
        self.over = False
        self.late = 0.0
        """By how many seconds our own loop was late while it was in flight."""
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None


class CanaryCount:
    """How many canaries ended how, and the seconds that good ones took."""

    __slots__ = ("failed", "passed", "seconds", "sent", "unknown")

    def __init__(self) -> None:
        self.sent = 0
        self.passed = 0
        self.failed = 0
        self.unknown = 0
        self.seconds = 0.0


class HealthCheckTarget:
    """An endpoint or a custom check as the manager sees it.

    `rules` are what it is judged by: those `configured` and, within the `limits` that a user sets,
    what was `learned` of it. Without limits nothing is learned.
    """

    __slots__ = (
        "configured",
        "counts",
        "due_at",
        "examiner",
        "gauge",
        "hurried_at",
        "learned",
        "limits",
        "looked_at",
        "name",
        "rules",
        "run",
        "source",
        "standing",
    )

    def __init__(
        self,
        name: str,
        *,
        rules: Rules,
        registered: Registered,
        source: Source,
        limits: Limits | None = None,
        learned: Learned | None = None,
    ) -> None:
        self.name = name
        self.configured = rules
        self.limits = limits
        self.learned = learned if learned is not None else Learned()
        self.rules = rules
        self.standing = Standing.of(registered)
        """Of one that was just registered, that is the deciding evidence of its verdict."""
        self.source = source
        self.looked_at = _NOT_YET
        """When the manager last took a look."""
        self.gauge: Gauges | None = None
        self.examiner: Examines | None = None
        self.counts = CanaryCount()
        self.run: Run | None = None
        self.due_at: float | None = None
        self.hurried_at = _NOT_YET
        """When a canary was last sent before its time, for a hint that is no evidence."""

    def taught(self, learned: Learned) -> None:
        """Begin again with what is known already; the first words confirm it."""
        self.learned = learned
        if self.limits is not None:
            self.rules = tuned(self.configured, learned, self.limits)

    def learn(self, evidence: Evidence, before: Standing, after: Standing) -> None:
        """Learn from a piece of evidence; the next one is judged by it."""
        if self.gauge is not None and isinstance(evidence, CanaryPassed):
            self.gauge.canary(evidence, before)
        if self.limits is None:
            return
        late = 0.0 if self.run is None else self.run.late
        learned = self.learned.after(evidence, before, after, self.limits, late=late)
        if learned is not self.learned:
            so_far = self.learned, self.rules
            self.learned = learned
            self.rules = tuned(self.configured, learned, self.limits, so_far=so_far)

    def __repr__(self) -> str:
        return f"<target {self.name}: {self.standing.verdict.reason}>"
