"""The search for settings that meet an objective over traces: bounded, and the same every time.

First some of all settings, then the neighbours of the best. Of those that meet the objective the
best sends the fewest canaries; of those that send about as many, the one that is the slowest to
accuse (more failures in a row, longer deadlines), as traces never hold all that can happen.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from random import Random
from typing import NamedTuple

from serinus.replay.comparing import Column, judged, replays
from serinus.replay.kubelet import Probes
from serinus.replay.objective import Objective
from serinus.replay.player import Case
from serinus.replay.variants import Variant

__all__ = ["GRID", "Found", "Trial", "search"]

GRID: Mapping[str, tuple[float | int, ...]] = {
    "wait": (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 60.0),
    "deadline": (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0),
    "stall": (5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0),
    "failure_threshold": (2, 3, 4),
}
"""The values that are tried, in seconds and in a row: as people would write them. One failure alone
is never enough: the single lost canary of a good engine is rarely in a trace; nor is a stall budget
near a second, which is how finely progress is recorded."""
_RUNS = 4
"""Replays of each trace in one trial."""
_ALIKE = math.log(1.05)
"""Rates of canaries within about a twentieth count as the same."""

_Point = tuple[int, ...]


class Trial(NamedTuple):
    """Settings that were tried, and what came of them."""

    values: Mapping[str, float | int]
    column: Column


class Found(NamedTuple):
    """What a search came to."""

    best: Trial
    met: bool
    """Whether the best meets the objective; if not, it is the closest."""
    trials: tuple[Trial, ...]
    """All of them, in the order in which they were tried."""
    baseline: Column
    """The recorded settings, replayed."""
    complete: bool
    """Whether all trials were made that were allowed, and the time was not over before."""

    @property
    def frontier(self) -> list[Trial]:
        """The trade-off: without false alarms, nothing detects sooner at so few canaries."""
        clean = [
            trial
            for trial in self.trials
            if not trial.column.false_alarms and math.isfinite(trial.column.worst or 0.0)
        ]
        front: list[Trial] = []
        for trial in sorted(clean, key=lambda one: (one.column.canaries_per_hour, _worst(one))):
            if not front or _worst(trial) < _worst(front[-1]):
                front.append(trial)
        return front


def search(
    cases: Sequence[Case],
    objective: Objective,
    *,
    tries: int,
    seed: int = 0,
    probes: Probes | None = None,
    over: Callable[[], bool] = lambda: False,
    progress: Callable[[int, Trial], None] = lambda _count, _best: None,
) -> Found:
    """Try at most `tries` settings, or until `over` says so; at least one is tried.

    `progress` is called after each trial with their number and the best so far. The same seed gives
    the same trials, save for those that `over` cuts off.
    """
    trying = _Trying(cases, objective, probes if probes is not None else Probes(), seed)
    baseline = trying.column(Variant("recorded", {}))
    complete = True
    for point in trying.points(Random(seed), tries):
        if trying.trials and (len(trying.trials) >= tries or over()):
            complete = len(trying.trials) >= tries
            break
        if point not in trying.trials:
            progress(len(trying.trials) + 1, trying.take(point))
    best = trying.best
    met = objective.met(best.column)
    return Found(best, met, tuple(trying.trials.values()), baseline, complete)


class _Trying:
    """The trials that were made, and which of them is the best."""

    def __init__(
        self, cases: Sequence[Case], objective: Objective, probes: Probes, seed: int
    ) -> None:
        self.trials: dict[_Point, Trial] = {}
        self._cases = cases
        self._objective = objective
        self._probes = probes
        self._seed = seed
        self._centre: _Point = ()

    @property
    def best(self) -> Trial:
        """The best so far."""
        return self.trials[self._centre]

    def take(self, point: _Point) -> Trial:
        """Try a point of the grid; return the best so far."""
        values = {name: GRID[name][index] for name, index in zip(GRID, point, strict=True)}
        name = ", ".join(f"{name} {value:g}" for name, value in values.items())
        trial = Trial(values, self.column(Variant(name, values)))
        self.trials[point] = trial
        if not self._centre or self._rank(trial) < self._rank(self.best):
            self._centre = point
        return self.best

    def column(self, variant: Variant) -> Column:
        """Replay all traces by other settings."""
        judge = partial(replays, rules=variant.change, seed=self._seed, runs=_RUNS)
        return judged(variant.name, self._cases, judge, self._probes)

    def points(self, random: Random, tries: int) -> Iterator[_Point]:
        """Points of the grid: a sample, then what is around the best, then a sample again."""
        every = [*itertools.product(*(range(len(values)) for values in GRID.values()))]
        sample = random.sample(every, len(every))
        yield from sample[: max(tries // 2, 1)]
        centre: _Point = ()
        while centre != self._centre:
            centre = self._centre
            for point in _around(centre):
                yield point
                if centre != self._centre:
                    break
        yield from sample[tries // 2 :]

    def _rank(self, trial: Trial) -> tuple[float, ...]:
        """The smaller, the better."""
        never, excess = self._objective.shortfall(trial.column)
        rate = math.floor(math.log(trial.column.canaries_per_hour + 1) / _ALIKE)
        slow = [-float(trial.values[name]) for name in ("failure_threshold", "deadline", "stall")]
        return never, excess, rate, *slow, _worst(trial)


def _around(centre: _Point) -> Iterator[_Point]:
    """The neighbours: along one axis, some steps far, then along two."""
    axes = range(len(centre))
    moves = [{axis: step} for axis in axes for step in (4, -4, 2, -2, 1, -1)]
    moves += [
        {one: a, other: b}
        for one, other in itertools.combinations(axes, 2)
        for a, b in itertools.product((1, -1), repeat=2)
    ]
    sizes = [len(values) for values in GRID.values()]
    for move in moves:
        point = tuple(at + move.get(axis, 0) for axis, at in enumerate(centre))
        if all(0 <= at < size for at, size in zip(point, sizes, strict=True)):
            yield point


def _worst(trial: Trial) -> float:
    return trial.column.worst or 0.0
