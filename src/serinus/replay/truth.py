"""What was really wrong, and when: by the marks in a trace, or else by hindsight.

Marks are the better truth: whoever made the fault says when. Without any, what the recorded judge
concluded counts, dated back to the last proof of health before it: the fault began no sooner, so
that no detection is called quicker than it may have been. Hindsight cannot know of a fault that
nobody saw, and takes a false alarm of then for a fault.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from serinus.core.evidence import CanaryPassed, Evidence
from serinus.core.status import Reason
from serinus.core.verdict import Standing
from serinus.replay.history import TargetHistory, unheard
from serinus.traces.entries import Trace

__all__ = ["Fault", "Source", "faults_of"]

_MARK = re.compile(r"fault:\s*(?P<what>.+?)\s+(?P<turn>begins|ends)\s*\Z", re.IGNORECASE)
_ENDLESS = float("inf")


class Source(StrEnum):
    """How we know of a fault."""

    MARKS = "marks"
    HINDSIGHT = "hindsight"


class Fault(NamedTuple):
    """Something was wrong from `begin` to `end` (seconds of the trace; infinity: to its end)."""

    what: str
    begin: float
    end: float
    source: Source
    target: str | None = None
    """The endpoint; None where all of them are meant."""

    def concerns(self, target: str) -> bool:
        """Whether an endpoint is meant."""
        return self.target is None or self.target == target


def faults_of(trace: Trace, histories: tuple[TargetHistory, ...]) -> tuple[Fault, ...]:
    """Return the faults in a trace, by its marks if it has any of faults, by their beginnings."""
    return _marked(trace) or tuple(
        sorted(fault for history in histories for fault in _concluded(history))
    )


def _marked(trace: Trace) -> tuple[Fault, ...]:
    faults: list[Fault] = []
    for mark in trace.marks:
        match = _MARK.match(mark.text.strip())
        if match is None:
            continue
        what, begins = match["what"], match["turn"].lower() == "begins"
        open_ones = [n for n, one in enumerate(faults) if one.what == what and one.end == _ENDLESS]
        if begins and not open_ones:
            faults.append(Fault(what, mark.at, _ENDLESS, Source.MARKS))
        elif open_ones and not begins:
            faults[open_ones[-1]] = faults[open_ones[-1]]._replace(end=mark.at)
    return tuple(sorted(faults, key=lambda fault: fault.begin))


def _concluded(history: TargetHistory) -> list[Fault]:
    """Find where the recorded judge turned an endpoint that had been proven."""
    faults: list[Fault] = []
    before: Standing | None = None
    target = str(history.address)
    for evidence, standing in history.standings():
        if before is not None and unheard(standing):
            continue
        if before is not None:
            was, now = before.verdict.ready, standing.verdict.ready
            if was and not now:
                begin = _dated_back(before, evidence, standing)
                what = str(standing.verdict.reason)
                faults.append(Fault(what, begin, _ENDLESS, Source.HINDSIGHT, target))
            elif now and not was and faults and faults[-1].end == _ENDLESS:
                faults[-1] = faults[-1]._replace(end=_well_since(history, evidence))
        before = standing
    return faults


def _dated_back(before: Standing, evidence: Evidence, after: Standing) -> float:
    if after.verdict.reason is Reason.STALLED:
        return before.flow_at
    if after.verdict.reason is Reason.ENGINE_DIED or before.proven_at is None:
        return evidence.at
    return before.proven_at


def _well_since(history: TargetHistory, evidence: Evidence) -> float:
    if isinstance(evidence, CanaryPassed):
        return history.answerable_since(evidence)
    return evidence.at
