"""What is wanted of settings: limits on what a replay measures, `detect<=5s, false_alarms=0`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from serinus.errors import SettingsError, excerpt
from serinus.replay.comparing import Column
from serinus.settings.kinds import RefusedError, Seconds

__all__ = ["MEASURES", "Goal", "Objective", "Shortfall", "read_objective"]

_GOAL = re.compile(r"\s*(?P<key>[a-z_]+)\s*(?:<=|=)\s*(?P<most>[^\s<>=]+)\s*\Z")
_SECONDS = Seconds(0)
_NEVER = float("inf")


class _Measure(NamedTuple):
    """How a word of an objective is measured, and said."""

    of: Callable[[Column], float]
    words: str
    seconds: bool = False


def _recovery(column: Column) -> float:
    return max(column.recoveries, default=0.0)


MEASURES: Mapping[str, _Measure] = {
    "detect": _Measure(lambda c: c.worst or 0.0, "longest detection", seconds=True),
    "detect_median": _Measure(lambda c: c.median or 0.0, "median detection", seconds=True),
    "recover": _Measure(_recovery, "longest recovery", seconds=True),
    "false_alarms": _Measure(lambda c: c.false_alarms, "false alarms"),
    "flaps": _Measure(lambda c: c.flaps, "flaps"),
    "restarts": _Measure(lambda c: c.restarts, "restarts by Kubernetes"),
    "canaries_per_hour": _Measure(lambda c: c.canaries_per_hour, "canaries an hour"),
}


class Goal(NamedTuple):
    """A measure and the most that it may come to."""

    key: str
    most: float

    def value(self, column: Column) -> float:
        """Measure it."""
        return MEASURES[self.key].of(column)

    def said(self, value: float) -> str:
        """Write a value of this measure."""
        if not MEASURES[self.key].seconds:
            return f"{value:.4g}"
        return "never" if value == _NEVER else f"{value:.3g} s"

    def __str__(self) -> str:
        return f"{MEASURES[self.key].words} at most {self.said(self.most)}"


class Shortfall(NamedTuple):
    """How far settings are from an objective; the smaller, the closer. All zero: met."""

    never: float
    """Faults that were not seen, where that matters."""
    excess: float
    """The rest: by how many times the limits are exceeded, added up."""


class Objective(NamedTuple):
    """All goals together."""

    goals: tuple[Goal, ...]

    def shortfall(self, column: Column) -> Shortfall:
        """Measure how far a judge is from it."""
        never, excess = 0.0, 0.0
        for goal in self.goals:
            value = goal.value(column)
            if value == _NEVER:
                never = column.faults - column.seen
            elif value > goal.most:
                excess += (value - goal.most) / (goal.most or 1.0)
        return Shortfall(never, excess)

    def met(self, column: Column) -> bool:
        """Whether all goals are."""
        return self.shortfall(column) == Shortfall(0, 0.0)

    def missed(self, column: Column) -> list[str]:
        """Say which goals are not met, and by what."""
        return [
            f"{MEASURES[goal.key].words} {goal.said(goal.value(column))}, wanted at most "
            f"{goal.said(goal.most)}"
            for goal in self.goals
            if goal.value(column) > goal.most
        ]

    def limit(self, key: str) -> float | None:
        """Return the limit of a measure, if it has one."""
        return next((goal.most for goal in self.goals if goal.key == key), None)

    def __str__(self) -> str:
        return ", ".join(map(str, self.goals))


def read_objective(text: str) -> Objective:
    """Read `detect<=5s, false_alarms=0`. Raises SettingsError.

    >>> str(read_objective("detect<=5s, false_alarms=0"))
    'longest detection at most 5 s, false alarms at most 0'
    """
    goals = []
    for part in text.split(","):
        match = _GOAL.match(part)
        if match is None or match["key"] not in MEASURES:
            raise SettingsError(
                f"--objective '{excerpt(part.strip(), limit=60)}': accepted: MEASURE<=LIMIT or "
                f"MEASURE=LIMIT, the measure being one of {', '.join(MEASURES)}"
            )
        try:
            goals.append(Goal(match["key"], _SECONDS.read(match["most"])))
        except RefusedError:
            unit = "seconds, such as 5s" if MEASURES[match["key"]].seconds else "a number"
            raise SettingsError(
                f"--objective {match['key']}: '{excerpt(match['most'], limit=40)}' is not "
                f"accepted; accepted: {unit}, not negative"
            ) from None
    return Objective(tuple(goals))
