"""Measures an endpoint's answers, and says on the board what is off (`core.performance`)."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Generic, NamedTuple, TypeVar

from serinus.core.evidence import CanaryPassed
from serinus.core.performance import Drift, Quota, Usual, level_of
from serinus.core.verdict import Standing
from serinus.settings import Settings

__all__ = ["Gauge", "Goals"]


class Goals(NamedTuple):
    """What is asked of every endpoint. Seconds; an objective of 0 is none, a factor of 0 too."""

    factor: float
    first_token: float
    token_gap: float
    share: float

    @classmethod
    def of(cls, settings: Settings) -> Goals | None:
        """Return the settings' goals; None if there are none."""
        goals = cls(
            settings.degraded_factor,
            settings.objective_first_token,
            settings.objective_token_gap,
            settings.objective_share,
        )
        return goals if goals.factor or goals.first_token or goals.token_gap else None


Subject = TypeVar("Subject")

_SLOW_TOKENS, _GAP = "slow_tokens", "objective: token gap"
_TRIED = 5
"""Quick canaries in a row, without users' work, after which it may be tried anew."""
_NEVER, _STEADY, _MET = Usual(), Drift(), Quota()
"""What every measure begins with: one of each for all gauges, which are many."""


class Gauge(Generic[Subject]):
    """The measures of one endpoint, the `subject`. `flaw` and `mend` are told of what turns."""

    __slots__ = (
        "_flaw",
        "_goals",
        "_mend",
        "_subject",
        "first",
        "first_drift",
        "first_objective",
        "gap_drift",
        "gap_objective",
        "gaps",
        "quick",
    )

    def __init__(
        self,
        goals: Goals,
        subject: Subject,
        *,
        flaw: Callable[[Subject, str, str], None],
        mend: Callable[[Subject, str, str], None],
    ) -> None:
        self._goals = goals
        self._subject = subject
        self._flaw = flaw
        self._mend = mend
        self.first = _NEVER
        self.first_drift = _STEADY
        self.gaps: dict[int, Usual] | None = None
        """By the level of load; None before the first."""
        self.gap_drift = _STEADY
        self.first_objective = _MET
        self.gap_objective = _MET
        self.quick = 0
        """Canaries on the idle engine, as quick as usual, since users' work was measured last."""

    def canary(self, passed: CanaryPassed, before: Standing) -> None:
        """Measure the first token of a canary on an idle engine that is ready."""
        if before.busy or not before.verdict.ready or before.leased(passed.at - passed.total):
            return
        factor = self._goals.factor
        ratio = self.first.ratio(passed.first_item) or 1.0
        self.quick = self.quick + 1 if not factor or ratio <= sqrt(factor) else 0
        if factor:
            self.first, self.first_drift = self._drift(
                "slow_first_token", self.first, self.first_drift, passed.first_item
            )
        if self._goals.first_token:
            self._first_token(passed.first_item)
        if self.quick >= _TRIED:
            self._forgive("idle, and canaries are as quick as usual")

    def _forgive(self, why: str) -> None:
        """Take back what was said of the pace, on other grounds than users' work.

        Where a policy keeps users away from an endpoint that is slow, they could not show that it
        is no more.
        """
        if self.gap_drift.off:
            self.gap_drift = _STEADY
            self._mend(self._subject, _SLOW_TOKENS, why)
        if self.gap_objective.off:
            at_its_bound = 1 - self._goals.share  # one more miss is one too many
            self.gap_objective = self.gap_objective._replace(missed=at_its_bound, off=False)
            self._mend(self._subject, _GAP, why)

    def request(self, first: float, gap: float | None, in_flight: int) -> None:
        """Measure a user's request: its first token, and its mean time between tokens."""
        if self._goals.first_token:
            self._first_token(first)
        if gap is None:
            return
        self.pace_at(gap, in_flight)
        self.pace(gap)

    def pace_at(self, gap: float, in_flight: int) -> None:
        """Compare a mean time between tokens with what it was with as many requests in flight."""
        self.quick = 0
        if not self._goals.factor:
            return
        if self.gaps is None:
            self.gaps = {}
        level = level_of(in_flight)
        usual = self.gaps.get(level, _NEVER)
        self.gaps[level], self.gap_drift = self._drift(_SLOW_TOKENS, usual, self.gap_drift, gap)

    def pace(self, gap: float) -> None:
        """Hold a mean time between tokens, under any load, against the objective."""
        self.quick = 0
        objective = self._goals.token_gap
        if objective:
            self.gap_objective = self._asked(_GAP, self.gap_objective, gap, objective)

    def another(self) -> None:
        """Take in that another engine or model answers, to which this pace is nothing."""
        self._forgive("another engine or model answers")
        self.gaps, self.gap_drift, self.gap_objective = None, _STEADY, _MET

    def _first_token(self, seconds: float) -> None:
        self.first_objective = self._asked(
            "objective: first token", self.first_objective, seconds, self._goals.first_token
        )

    def _drift(self, word: str, usual: Usual, drift: Drift, seconds: float) -> tuple[Usual, Drift]:
        """Compare a time with the usual one, and let it teach that if it is not off."""
        factor = self._goals.factor
        ratio = usual.ratio(seconds)
        if ratio is None:
            return usual.after(seconds), drift
        after = drift.after(ratio, factor=factor)
        if after.off or drift.off:
            told = f"{after.median:.1f} times as long as usual, which is {usual.typical:.3g} s"
            self._turn(word, told, off=after.off)
        return (usual if after.off or ratio > factor else usual.after(seconds)), after

    def _asked(self, word: str, quota: Quota, seconds: float, objective: float) -> Quota:
        after = quota.after(seconds, objective=objective, share=self._goals.share)
        if after.off or quota.off:
            self._turn(word, after.told(objective), off=after.off)
        return after

    def _turn(self, word: str, told: str, *, off: bool) -> None:
        (self._flaw if off else self._mend)(self._subject, word, told)
