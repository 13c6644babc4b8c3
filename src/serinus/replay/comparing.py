"""Several judges over several traces, compared: what each cost and what it saw."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median
from typing import NamedTuple, TypeAlias

from serinus.core.deadlines import Limits
from serinus.replay.kubelet import Kubernetes, Probes, kubelet
from serinus.replay.outcome import Outcome, Score, scored
from serinus.replay.player import Case, Change, replay

__all__ = ["RUNS", "Column", "Judge", "Judged", "judged", "replays"]

RUNS = 8
"""Replays of each trace."""
_ENDLESS = float("inf")

Judge: TypeAlias = Callable[[Case], tuple[Outcome, ...]]
"""Says what it says of a trace, once or several times."""


class Judged(NamedTuple):
    """One judge over one trace."""

    outcome: Outcome
    score: Score
    kubernetes: Kubernetes


class Column(NamedTuple):
    """One judge over all traces, `runs` times each. Delays are seconds; counts are means."""

    name: str
    cases: tuple[tuple[Judged, ...], ...]

    @property
    def runs(self) -> int:
        """How often each trace was judged."""
        return max(map(len, self.cases), default=1)

    @property
    def faults(self) -> int:
        """How many there were."""
        return sum(len(runs[0].score.detections) for runs in self.cases)

    @property
    def seen(self) -> float:
        """How many were seen."""
        return len(self.delays) / self.runs

    @property
    def delays(self) -> list[float]:
        """Of all faults that were seen, in all runs."""
        return [delay for one in self._judged for delay in one.score.delays]

    @property
    def median(self) -> float | None:
        """The median delay of those that were seen."""
        return median(self.delays) if self.delays else None

    @property
    def worst(self) -> float | None:
        """The longest delay; infinity if a fault was missed; None without faults."""
        worst = [one.score.worst for one in self._judged if one.score.worst is not None]
        return max(worst, default=None)

    def delay(self, case: int, fault: int) -> float:
        """The longest delay of one fault; infinity if it was missed in a run."""
        delays = [run.score.detections[fault].delay for run in self.cases[case]]
        return max(_ENDLESS if delay is None else delay for delay in delays)

    @property
    def recoveries(self) -> list[float]:
        """Seconds from the ends of faults until it was ready again."""
        found = (one.recovery for case in self._judged for one in case.score.detections)
        return [recovery for recovery in found if recovery is not None]

    @property
    def false_alarms(self) -> float:
        """Turns to not ready while nothing was wrong."""
        return self._mean(len(one.score.false_alarms) for one in self._judged)

    @property
    def flaps(self) -> float:
        """Turns to not ready beyond the first within one fault."""
        return self._mean(one.score.flaps for one in self._judged)

    @property
    def canaries(self) -> float:
        """Canaries sent."""
        return self._mean(one.outcome.canaries for one in self._judged)

    @property
    def canaries_per_hour(self) -> float:
        """Their rate, over all of the time."""
        hours = self._mean(one.outcome.until for one in self._judged) / 3600
        return self.canaries / hours if hours else 0.0

    @property
    def restarts(self) -> float:
        """What a kubelet would have restarted."""
        return self._mean(len(one.kubernetes.restarts) for one in self._judged)

    @property
    def withdrawals(self) -> float:
        """How often a kubelet would have taken the pod out of its service."""
        return self._mean(
            sum(not ready for _, ready in one.kubernetes.turns) for one in self._judged
        )

    @property
    def _judged(self) -> Iterable[Judged]:
        return (one for runs in self.cases for one in runs)

    def _mean(self, counts: Iterable[float]) -> float:
        return sum(counts) / self.runs


def replays(
    case: Case,
    *,
    rules: Change | None = None,
    seed: int = 0,
    runs: int = RUNS,
    learning: Limits | None = None,
) -> tuple[Outcome, ...]:
    """Replay a case with the canaries at different times in their wait.

    A single run would praise settings for the luck of a canary that was due as a fault began.
    """
    return tuple(
        replay(case, rules, seed=seed, phase=run / runs, learning=learning) for run in range(runs)
    )


def judged(name: str, cases: Sequence[Case], judge: Judge, probes: Probes) -> Column:
    """Let a judge say what it says of every trace."""
    return Column(name, tuple(tuple(_judged(judge(case), case, probes)) for case in cases))


def _judged(outcomes: Iterable[Outcome], case: Case, probes: Probes) -> Iterator[Judged]:
    for outcome in outcomes:
        kubernetes = kubelet(outcome.answers, probes, until=case.until)
        yield Judged(outcome, scored(outcome, case.faults), kubernetes)
