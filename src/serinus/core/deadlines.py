"""Deadlines that follow the machine: what was observed of one endpoint, and the budgets it gives.

After N. Hayashibara, X. Défago, R. Yared and T. Katayama, "The φ Accrual Failure Detector" (SRDS
2004): with F the distribution of the times observed, a silence of t seconds has

    φ(t) = -log10(1 - F(t))

and a budget is the silence at which φ reaches the sensitivity: at φ = 8 one in 10⁸ good answers
would be later, if the past is a guide. What is different here:

- The times are of *tokens* (canaries' answers; gaps between progress of work in flight), not of a
  heartbeat, which a hung engine goes on sending.
- F is lognormal: times cannot be negative, and are spread by ratios (a batch twice as large), not
  by seconds. The mean and the variance of the logarithm decay exponentially, so that a handful of
  numbers is all that is kept, and a lasting change of speed is followed.
- The spread has a least value, by which even an engine of clockwork may become slower without
  being accused, and the longest time of late has a word: no budget is below a multiple of it.
- Every budget has a floor and a ceiling that the user sets.
- A budget for work in flight accuses nobody. It asks one canary on top of the work; only if that
  too stays silent does the work count as stalled (see `verdict`).

What teaches: answers to canaries while the endpoint is ready and idle, and gaps while it is ready
and busy. What does not: anything of an endpoint that is not ready, suspected, dead, in a lease, or
hidden by trouble of our own; canaries that timed out (their time is not known); and after any of
these, the first few words. Meanwhile the configured values hold: so where nobody tells of work in
flight, a canary that was silent for the learned time is followed by one with the configured time,
as the first may have waited for somebody's work. Times beyond what was learned, seen once, are an
outage's tail for all we know. Seen twice running they are what the engine is like now, and are
learned.
"""

from __future__ import annotations

from math import ceil, erfc, exp, inf, log, log10, sqrt
from typing import NamedTuple

from serinus.core.evidence import (
    CanaryFailed,
    CanaryFault,
    CanaryPassed,
    Evidence,
    Progress,
    Witness,
)
from serinus.core.renewal import renewed_often
from serinus.core.rules import Rules
from serinus.core.verdict import Standing

__all__ = ["Learned", "Limits", "Spread", "phi", "tuned"]

_COUNTERS = Witness.COUNTERS  # looked up once: an enumeration takes its time to find a member
_ENOUGH_CANARIES = 8
"""Answers before the deadline is the learned one."""
_ENOUGH_GAPS = 8
"""Words on gaps before the first question on top of work."""
_CONVALESCENCE = 4
"""Good words that an endpoint owes after any trouble before its times count again."""
_SHORTEST = 0.0001
"""Seconds; no time is taken for shorter."""
_SPREAD_OF_CANARIES = 0.41
"""The least spread: at φ = 8, an engine may always become ten times slower."""
_SPREAD_OF_GAPS = 0.2
"""The same for gaps, of which each is the longest of many: three times."""
_WINDOW = 64
"""Samples after which an older one weighs less than 1/e."""
_LONGEST_CANARIES = 2.0
_LONGEST_GAPS = 3.0
"""No budget is below this many times the longest time of late."""
_MOST_GAPS = 4.0
"""Nor is the one for gaps above this many times it: each is the longest of many, some of few, which
spreads them, and a doubt accuses nobody."""
_OUTLIER = 5.0
"""Times the longest gap of late: one that is longer is learned when it is seen again."""
_FADING = 1 - 1 / 512
"""What is left of the longest time with each sample after it."""
_ALMOST = 0.9
"""A question may be sent a little before it is due."""
_LONG_READING = 5.0
"""Seconds of silence that are a long prompt's, if they are any prompt's: an engine that answers a
canary beside it reads in pieces, or in a process of its own."""
_SILENCES = (CanaryFault.TIMEOUT, CanaryFault.STUCK)
_GRID = log(1.1)
"""Budgets move in steps of a tenth: they are for people too."""


class Limits(NamedTuple):
    """What a user allows. `z`: by how many spreads the sensitivity lies above the mean.

    All others are seconds; a floor above its ceiling is the ceiling.
    """

    z: float
    deadline_floor: float
    deadline_ceiling: float
    stall_floor: float
    stall_ceiling: float

    @classmethod
    def of(
        cls,
        sensitivity: float,
        *,
        deadline_floor: float,
        deadline_ceiling: float,
        stall_floor: float,
        stall_ceiling: float,
    ) -> Limits:
        """Return the limits for a sensitivity that is given as φ."""
        return cls(
            _z(sensitivity),
            min(deadline_floor, deadline_ceiling),
            deadline_ceiling,
            min(stall_floor, stall_ceiling),
            stall_ceiling,
        )


class Spread(NamedTuple):
    """The times of one kind: their logarithm's mean and variance, how many, the longest of late."""

    samples: int = 0
    mean: float = 0.0
    variance: float = 0.0
    longest: float = 0.0

    def after(self, seconds: float) -> Spread:
        """Take one more time."""
        samples, mean, variance, longest = self
        share = 1 / min(samples + 1, _WINDOW)
        off = log(max(seconds, _SHORTEST)) - mean
        return Spread(
            samples + 1,
            mean + share * off,
            (1 - share) * (variance + share * off * off),
            max(seconds, longest * _FADING),
        )

    @property
    def typical(self) -> float:
        """The middle one of the times, in seconds."""
        return exp(self.mean)

    def budget(self, z: float, *, least_spread: float, longest: float, most: float = inf) -> float:
        """Return the silence, in seconds, that is `z` spreads beyond what is typical.

        At least `longest` times the longest time of late, and `most` times it at the most.
        """
        _, mean, variance, of_late = self
        spread = max(sqrt(variance), least_spread)
        seconds = exp(min(mean + z * spread, 50.0))
        if most < inf:
            seconds = min(seconds, most * of_late)
        seconds = max(seconds, longest * of_late, _SHORTEST)
        return exp(ceil(log(seconds) / _GRID) * _GRID)


@renewed_often
class Learned(NamedTuple):
    """All that is kept of one endpoint's times, in seconds."""

    canaries: Spread = Spread()
    gaps: Spread = Spread()
    on_top: float = 0.0
    """The longest time of late of a canary on top of work."""
    owed: int = _CONVALESCENCE
    """Good words until times count again."""
    beside: bool = False
    """Whether a canary was answered beside what may have been a long prompt."""
    slow_canary: float = 0.0
    """An answer later than the learned deadline; the next such one makes it the engine's own."""
    slow_gap: float = 0.0
    """The same of a gap that a canary on top did not explain."""

    def after(
        self, evidence: Evidence, before: Standing, after: Standing, limits: Limits, *, late: float
    ) -> Learned:
        """Learn from evidence that turned the standing `before` into the one `after`.

        `late` is by how many seconds our own loop was late meanwhile.
        """
        if isinstance(evidence, CanaryPassed):
            return self._passed(evidence, before, limits, late)
        if isinstance(evidence, Progress):
            return self._progressed(evidence, before, limits)
        if self.owed == _CONVALESCENCE:
            return self
        if after.verdict.ready and not _may_be_behind_work(evidence, after):
            return self
        return self._replace(owed=_CONVALESCENCE)

    def _well(self, before: Standing, at: float) -> bool:
        """Whether nothing was wrong that a time could be the trace of."""
        clear = before.blind_since is None and not before.leased(at)
        return before.verdict.ready and not before.suspected and clear

    def _passed(
        self, passed: CanaryPassed, before: Standing, limits: Limits, late: float
    ) -> Learned:
        total = passed.total
        if before.leased(passed.at - total) or before.blind_since is not None or late > total / 10:
            return self
        if before.busy:
            if not before.verdict.ready:
                return self
            sent = passed.at - total
            long = max(self.doubt(limits) * _ALMOST, _LONG_READING)
            beside = (
                before.newcomers is not False
                and sent - max(before.flow_at, before.lease_until) >= long
                and before.begun_at < sent  # it may have waited for that very prompt
            )
            longest = max(total, self.on_top * _FADING)
            return self._replace(on_top=longest, beside=self.beside or beside)
        if self.canaries.samples >= _ENOUGH_CANARIES and self._late(total, limits):
            return self._slow(total)
        if not self._well(before, passed.at):
            return self
        if self.owed:
            return self._replace(slow_canary=0.0, owed=self.owed - 1)
        return self._replace(slow_canary=0.0, canaries=self.canaries.after(total))

    def _late(self, total: float, limits: Limits) -> bool:
        """Whether an answer took longer than the learned deadline, which need not be computed."""
        return total > limits.deadline_floor and total > self.deadline(limits)

    def _slow(self, total: float) -> Learned:
        """Keep an answer that is later than any that was learned, and learn from the second."""
        if not self.slow_canary:
            return self._replace(slow_canary=total)
        learned = self.canaries.after(self.slow_canary).after(total)
        return self._replace(canaries=learned, slow_canary=0.0)

    def _progressed(self, progress: Progress, before: Standing, limits: Limits) -> Learned:
        gap = progress.gap
        if before.busy and (before.unanswered or progress.witness is _COUNTERS):
            flowed_at = progress.at if progress.flow_at is None else progress.flow_at
            gap = flowed_at - before.flow_at
        if gap <= 0 or gap >= limits.stall_ceiling:
            return self
        if before.unanswered:
            return self._slower(gap)._replace(beside=False) if progress.flow else self
        explained = before.asked_at is not None and before.asked_at > progress.at - gap
        if explained or not self._well(before, progress.at) or before.leased(progress.at - gap):
            return self
        if self.owed:
            return self._replace(owed=self.owed - 1)
        if self.gaps.samples and gap > self.gaps.longest * _OUTLIER:
            if not self.slow_gap or gap > self.slow_gap * 2:
                return self._replace(slow_gap=gap)
            return self._replace(gaps=self.gaps.after(self.slow_gap).after(gap), slow_gap=0.0)
        return self._replace(gaps=self.gaps.after(gap))

    def _slower(self, gap: float) -> Learned:
        """Keep a gap for which the work was called stalled, and learn from the second."""
        if gap > self.slow_gap * 2 or not self.slow_gap:
            return self._replace(slow_gap=gap)
        longest = max(gap, self.slow_gap, self.gaps.longest)
        return self._replace(gaps=self.gaps._replace(longest=longest), slow_gap=0.0)

    def deadline(self, limits: Limits) -> float:
        """Return the time for a canary, in seconds."""
        seconds = self.canaries.budget(
            limits.z, least_spread=_SPREAD_OF_CANARIES, longest=_LONGEST_CANARIES
        )
        return min(max(seconds, limits.deadline_floor), limits.deadline_ceiling)

    def doubt(self, limits: Limits) -> float:
        """Return the silence of work in flight after which a canary is asked on top, in seconds."""
        seconds = self.gaps.budget(
            limits.z, least_spread=_SPREAD_OF_GAPS, longest=_LONGEST_GAPS, most=_MOST_GAPS
        )
        return min(max(seconds, limits.stall_floor), limits.stall_ceiling)


def _may_be_behind_work(evidence: Evidence, after: Standing) -> bool:
    """Whether a canary was silent beside work that nobody tells of: what was learned is of rest."""
    if not isinstance(evidence, CanaryFailed) or evidence.fault not in _SILENCES:
        return False
    return after.pending is None


def tuned(
    configured: Rules,
    learned: Learned,
    limits: Limits,
    *,
    so_far: tuple[Learned, Rules] | None = None,
) -> Rules:
    """Return the rules to judge by: those configured, and what was learned where that is enough.

    `so_far`: what was learned before, and the rules that followed from it, which save working out
    again what is as it was.
    """
    if learned.owed:
        return configured
    before, rules = so_far if so_far is not None and not so_far[0].owed else (None, configured)
    known, deadline = learned.canaries.samples >= _ENOUGH_CANARIES, configured.deadline
    if before is not None and before.canaries is learned.canaries:
        deadline = rules.deadline
    elif known:
        deadline = learned.deadline(limits)
    if before is not None and before.gaps is learned.gaps:
        doubt = rules.doubt or configured.stall
    else:
        enough = learned.gaps.samples >= _ENOUGH_GAPS
        doubt = learned.doubt(limits) if enough else configured.stall
    if doubt >= configured.stall:
        return configured._replace(deadline=deadline)
    on_top = max(configured.deadline, deadline)
    if known:
        on_top = min(2 * max(deadline, learned.on_top), on_top)
    known_so_far = rules.deadline, rules.doubt, rules.on_top, rules.beside
    if known_so_far == (deadline, doubt, on_top, learned.beside):
        return rules  # the usual case, as budgets move in steps
    return configured._replace(deadline=deadline, doubt=doubt, on_top=on_top, beside=learned.beside)


def phi(spread: Spread, seconds: float, *, least_spread: float) -> float:
    """Return φ of a silence: how surprising it is after the times that were observed."""
    deviation = max(sqrt(spread.variance), least_spread)
    tail = erfc((log(max(seconds, _SHORTEST)) - spread.mean) / deviation / sqrt(2)) / 2
    return -log10(max(tail, 1e-300))


def _z(sensitivity: float) -> float:
    """Return the z at which the normal distribution's φ is `sensitivity`, by bisection."""
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        tail = erfc(middle / sqrt(2)) / 2
        low, high = (middle, high) if -log10(max(tail, 1e-300)) < sensitivity else (low, middle)
    return high
