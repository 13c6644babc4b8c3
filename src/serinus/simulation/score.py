"""How good a judge was: its record held against what really happened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf

from serinus.simulation.engine import SimulatedEngine
from serinus.simulation.faults import STOPS, Fault, Window
from serinus.simulation.record import Record
from serinus.simulation.schedule import Schedule

__all__ = [
    "AFTERWARDS",
    "Score",
    "in_flight_at_faults",
    "percentile",
    "scored",
    "weighted_median",
]

AFTERWARDS = 15.0
"""Seconds after the end of a fault in which an accusation is late, and not false."""
_LIVENESS = 15.0
"""Seconds of a failing /live after which a restart comes: every 5 s, three in a row."""
_ROUNDING = 1e-3
_NEITHER = STOPS | {Fault.SLOW, Fault.GARBAGE}


@dataclass(slots=True)
class Score:
    """One judge's, over any number of schedules. Delays are seconds; infinite is never seen."""

    judge: str
    hours: float = 0.0
    delays: dict[Fault, list[float]] = field(default_factory=dict)
    struck: list[tuple[int, float]] = field(default_factory=list)
    """Of each fault that stops tokens: how many users' requests were in flight, and the delay."""
    by_regime: dict[str, list[float]] = field(default_factory=dict)
    """The delays of the same faults, by the use that the engine was in."""
    false_alarms: int = 0
    during: dict[Fault | None, int] = field(default_factory=dict)
    """False alarms by what went on: a harmless event, or nothing at all."""
    flaps: int = 0
    canaries: int = 0
    restarts: int = 0
    """Restarts of engines that were well, as Kubernetes would do them."""

    def add(self, schedule: Schedule, record: Record) -> None:
        """Count what a judge said of one schedule."""
        self.hours += schedule.seconds / 3600
        self.canaries += record.canaries
        spells = list(Record.spells(record.ready, schedule.seconds))
        in_flight = in_flight_at_faults(schedule)
        for window in schedule.windows:
            if window.fault in _NEITHER:
                whole = list(Record.spells(record.whole, inf))
                delay = self._detection(window, spells, whole)
                if window.fault in STOPS:
                    self.struck.append((in_flight[window], delay))
                    self.by_regime.setdefault(schedule.regime(window.start), []).append(delay)
        proven = next((turn.at for turn in record.ready if turn.good), inf)
        for start, _, _ in spells:
            if start > proven and not _excused(schedule.windows, start):
                self.false_alarms += 1
                on = next((w for w in schedule.windows if w.start <= start < w.end + 60), None)
                during = None if on is None else on.fault
                self.during[during] = self.during.get(during, 0) + 1
        for start, end, _ in Record.spells(record.live, schedule.seconds):
            ill = _excused(schedule.windows, start)
            self.restarts += start > proven and not ill and end - start >= _LIVENESS

    def join(self, other: Score) -> None:
        """Add up what the same judge said of other schedules."""
        self.hours += other.hours
        for fault, delays in other.delays.items():
            self.delays.setdefault(fault, []).extend(delays)
        self.struck += other.struck
        self.false_alarms += other.false_alarms
        for during, count in other.during.items():
            self.during[during] = self.during.get(during, 0) + count
        self.flaps += other.flaps
        self.canaries += other.canaries
        self.restarts += other.restarts

    def _detection(
        self,
        window: Window,
        spells: Sequence[tuple[float, float, str]],
        degraded: Sequence[tuple[float, float, str]],
    ) -> float:
        within = [
            start
            for start, end, _ in spells
            if end > window.start - _ROUNDING and start < window.end + AFTERWARDS
        ]
        told = [s for s, end, _ in degraded if end > window.start and s < window.end]
        seen = within if window.fault in STOPS else [*within, *told]
        delay = max(min(seen) - window.start, 0.0) if seen else inf
        self.delays.setdefault(window.fault, []).append(delay)
        if window.fault in STOPS:
            self.flaps += max(len(within) - 1, 0)
        return delay

    @property
    def stopped(self) -> list[float]:
        """The delays of all faults that stop tokens."""
        return [delay for fault in STOPS for delay in self.delays.get(fault, ())]


def scored(judge: str, judged: Iterable[tuple[Schedule, Record]]) -> Score:
    """Score a judge."""
    score = Score(judge)
    for schedule, record in judged:
        score.add(schedule, record)
    return score


def weighted_median(weighted: Iterable[tuple[float, float]]) -> float:
    """Return the smallest value that half of all weight is not above; nan of none.

    >>> weighted_median([(1, 10.0), (3, 2.0), (1, 1.0)])
    2.0
    """
    ordered = sorted(weighted, key=lambda one: one[1])
    half = sum(weight for weight, _ in ordered) / 2
    for weight, value in ordered:
        half -= weight
        if half <= 0 < weight:
            return value
    return float("nan")


@lru_cache(maxsize=1024)
def in_flight_at_faults(schedule: Schedule) -> dict[Window, int]:
    """Count the users' requests that are in flight as each fault begins."""
    engine = SimulatedEngine(schedule, began=0.0)
    counts: dict[Window, int] = {}
    for window in schedule.windows:
        engine.advance(window.start - _ROUNDING)
        counts[window] = len(engine.active)
    return counts


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that so many are not above; nan of none.

    >>> percentile([3.0, 1.0, 2.0], 0.5)
    2.0
    """
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def _excused(windows: Sequence[Window], at: float) -> bool:
    return any(
        window.fault in _NEITHER and window.start - _ROUNDING <= at < window.end + AFTERWARDS
        for window in windows
    )
