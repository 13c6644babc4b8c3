"""Many worlds, one process each, as many at once as wanted; what comes of them is in order.

A world needs nothing of another one, and follows from its seed alone, so that the number of
processes changes nothing but the time it takes. No more worlds are begun than a few ahead of the
one that is waited for: memory does not grow with their number.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

from serinus.simulation.judging import Broken, judge_world, with_seed
from serinus.simulation.record import Record
from serinus.simulation.score import Score
from serinus.simulation.world import Plan

__all__ = ["World", "judge_worlds"]

_AHEAD = 2
"""Worlds that are begun, or wait to be, for each process."""


class World(NamedTuple):
    """What came of one world: each judge's score, and what broke a promise."""

    scores: dict[str, Score]
    problems: list[Broken]
    records: list[Record]
    """With their histories; none where nobody asked for them."""


def judge_worlds(
    plan: Plan,
    seeds: Sequence[int],
    settings: Mapping[str, Any],
    judges: Sequence[str],
    *,
    trace: bool = False,
    jobs: int = 1,
) -> Iterator[World]:
    """Let the judges judge these worlds, `jobs` at a time; they come in the order of the seeds."""
    judge = partial(_judge, plan, dict(settings), tuple(judges), trace=trace)
    jobs = min(jobs, len(seeds))
    return map(judge, seeds) if jobs <= 1 else _side_by_side(judge, seeds, jobs)


def _judge(
    plan: Plan, settings: Mapping[str, Any], judges: Sequence[str], seed: int, *, trace: bool
) -> World:
    scores = {name: Score(name) for name in judges}
    records, problems = judge_world(with_seed(plan, seed), settings, scores, trace=trace)
    return World(scores, problems, records if trace else [])


def _side_by_side(judge: partial[World], seeds: Sequence[int], jobs: int) -> Iterator[World]:
    begun: deque[Future[World]] = deque()
    waiting = iter(seeds)
    pool = ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_leave_interrupts
    )
    try:
        begun.extend(pool.submit(judge, seed) for seed in islice(waiting, _AHEAD * jobs))
        while begun:
            yield begun.popleft().result()
            begun.extend(pool.submit(judge, seed) for seed in islice(waiting, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts() -> None:
    """Leave it to the parent to end on Ctrl-C, which the terminal sends to all."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
