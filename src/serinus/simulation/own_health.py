"""A plain poll of the engine's own health, as a kubelet does it.

What engines say of themselves was seen on real ones: a core or worker that is frozen, fails every
request or writes nonsense goes on saying 200 (vLLM, llama.cpp, `transformers serve`); SGLang's
`/health` generates, and says 503 after 20 s without an answer; a port that is closed is a failure
for everybody.
"""

from __future__ import annotations

from enum import StrEnum
from random import Random

from serinus.simulation.faults import FREEZES, Fault
from serinus.simulation.record import Record
from serinus.simulation.schedule import Schedule

__all__ = ["Flavour", "judged_by_poll"]

PERIOD = 10.0
IN_A_ROW = 3
_GENERATES_FOR = 20.0
"""Seconds after which SGLang's /health gives up (SGLANG_HEALTH_CHECK_TIMEOUT)."""


class Flavour(StrEnum):
    """How an engine's own health comes about."""

    SAYS_YES = "says yes"
    """It answers for the HTTP server alone: vLLM, llama.cpp, `transformers serve`."""
    GENERATES = "generates"
    """It asks the engine for a token: SGLang."""


def judged_by_poll(schedule: Schedule, *, flavour: Flavour = Flavour.SAYS_YES) -> Record:
    """Return what a poll every 10 s, three failures in a row, would have said."""
    record = Record("own health", schedule.seconds)
    at = Random(f"{schedule.seed}/poll").uniform(0, PERIOD)
    failures = 0
    while at < schedule.seconds:
        if _well(schedule, at, flavour):
            failures = 0
            record.turned(record.ready, at, good=True, why="200")
        else:
            failures += 1
            if failures >= IN_A_ROW:
                record.turned(record.ready, at, good=False, why=f"{failures} in a row")
        at += PERIOD
    record.live = record.ready
    return record


def _well(schedule: Schedule, at: float, flavour: Flavour) -> bool:
    for window in schedule.windows:
        if not window.start <= at < window.end:
            continue
        if window.fault is Fault.CRASH:
            return False
        if flavour is Flavour.GENERATES and window.fault in FREEZES:
            return at - window.start < _GENERATES_FOR
        if flavour is Flavour.GENERATES and window.fault in {Fault.ERROR, Fault.EMPTY}:
            return False
    return True
