"""A recorded engine: what was told of it, and what a canary at any time would have brought.

The first is in the trace. The second is not, save for the canaries that were really sent; for all
others it is concluded, by these assumptions (docs/traces.md says what they cannot know):

1. From the last proof of health before a failure (or, if there is a mark of the fault after it,
   from that mark) to the first proof after it, a canary would have failed as the nearest recorded
   one did. A failure that was not confirmed by another one counts only for its own time.
2. One that failed by silence would have been answered when the silence ended, as a frozen engine
   answers when it is thawed.
3. Work in flight without any progress over a whole fault is silence too.
4. At all other times it would have been answered as the nearest recorded one was, as quickly; the
   nearest on the same side of a fault's beginning or end, if there is one.
5. A busy engine would have answered no slower than an idle one. Judges that ask busy engines fare
   better by this than they would have.
6. A dead engine refuses; one whose port is closed or whose model is not there hears nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from typing import NamedTuple

from serinus.core.evidence import (
    CanaryFailed,
    CanaryFault,
    CanaryPassed,
    CanaryUnknown,
    EngineDied,
    Evidence,
    Load,
    Loading,
    Phase,
    Progress,
    Tick,
)
from serinus.replay.history import TargetHistory
from serinus.replay.truth import Fault

__all__ = ["Answer", "RecordedEngine"]

_SILENCES = frozenset({CanaryFault.TIMEOUT, CanaryFault.STUCK})
_DEAF = frozenset({Phase.PORT_CLOSED, Phase.NO_MODEL})
_NEVER = float("inf")
_USUAL = CanaryPassed(0.0, 0.05, 0.05)
"""The answer of an engine of which no canary was recorded, in seconds."""


_SETTLES = 2.0
"""Seconds for which progress from before a fault may still be seen after it began."""


class Answer(NamedTuple):
    """What a canary brings at `at`: infinity, if it is never answered."""

    at: float
    evidence: Callable[[float], Evidence]
    """Makes the evidence, given when it is known."""


class _Silence(NamedTuple):
    """From `begin` to `end` canaries failed: as `failures` did, or in silence if there is none."""

    begin: float
    end: float
    failures: tuple[CanaryFailed, ...]


class RecordedEngine:
    """One endpoint of a trace as an engine to be asked, in the trace's time. Nothing changes it."""

    def __init__(self, history: TargetHistory, faults: Iterable[Fault] = ()) -> None:
        self.history = history
        self._faults = [one for one in faults if one.concerns(str(history.address))]
        passed = [one for one in history.seen if isinstance(one, CanaryPassed)]
        self._bounds = sorted({t for one in self._faults for t in (one.begin, one.end)})
        self._passed = _Passed(passed)
        self._passed_on: dict[int, _Passed] = {
            side: _Passed(one for one in passed if self._side(_sent(one)) == side)
            for side in range(len(self._bounds) + 1)
        }
        self._turns = [*self._life()]
        self._turned_at = [one.at for one in self._turns]
        failing = [*self._failing()]
        self._spans = sorted(
            [*failing, *self._standing_still(failing)], key=lambda span: span.begin
        )
        self.told = tuple(self._unasked())
        """What was seen without asking, in the order in which it was folded: a judge is told it."""

    # --- asking ------------------------------------------------------------------------------

    def answer(self, sent: float) -> Answer:
        """Say what a canary that is sent at `sent` brings, and when."""
        state = self._state(sent)
        if isinstance(state, Loading) and state.phase in _DEAF:
            phase = state.phase
            return Answer(sent, lambda at: Loading(at, phase))
        if isinstance(state, EngineDied):
            failed = CanaryFailed(sent, sent, CanaryFault.REFUSED, state.detail)
            return Answer(sent, lambda at: failed._replace(at=at))
        span = next((one for one in self._spans if one.begin <= sent < one.end), None)
        if span is None:
            return self._well(sent, sent)
        failure = _nearest(span.failures, sent)
        if failure is None or failure.fault in _SILENCES:
            return self._well(sent, span.end)
        after = failure.at - failure.sent
        return Answer(sent + after, lambda at: failure._replace(at=at, sent=sent))

    def well(self, at: float) -> bool:
        """Whether a canary that is sent at `at` passes, and no slower than is usual."""
        answer = self.answer(at)
        passed = answer.at < _NEVER and isinstance(answer.evidence(answer.at), CanaryPassed)
        return passed and not any(one.begin <= at < one.end for one in self._spans)

    def _well(self, sent: float, heard: float) -> Answer:
        """An answer by an engine that attends to a question at `heard`."""
        usual = self._usual(heard)
        first = heard - sent + usual.first_item
        total = heard - sent + usual.total
        return Answer(
            sent + total,
            lambda at: usual._replace(at=at, first_item=first, total=total),
        )

    def _usual(self, at: float) -> CanaryPassed:
        """The recorded answer that is nearest, on the same side of all beginnings and ends."""
        same = self._passed_on[self._side(at)]
        return same.nearest(at) or self._passed.nearest(at) or _USUAL

    def _side(self, at: float) -> int:
        return bisect_right(self._bounds, at)

    def _state(self, at: float) -> Evidence | None:
        """What was last known of the engine's life."""
        number = bisect_right(self._turned_at, at)
        if number:
            return self._turns[number - 1]
        first = next(iter(self._turns), None)
        return first if isinstance(first, Loading) else None  # it was so before it was looked at

    # --- concluding --------------------------------------------------------------------------

    def _life(self) -> Iterable[Evidence]:
        """The turns of the engine's life: deaths, phases of loading, and proofs after them."""
        open_end = False
        for one in self.history.seen:
            if isinstance(one, EngineDied | Loading):
                open_end = True
                yield one
            elif open_end and isinstance(one, CanaryPassed | Progress):
                open_end = False
                yield one

    def _failing(self) -> Iterable[_Silence]:
        """The times in which canaries failed, by assumption 1."""
        proven: float | None = None
        failures: list[CanaryFailed] = []
        for one in self.history.seen:
            if isinstance(one, CanaryFailed) and one.fault is not CanaryFault.REFUSED:
                failures.append(one)
            elif isinstance(one, CanaryPassed | Progress):
                if failures:
                    end = one.at
                    if isinstance(one, CanaryPassed):
                        end = self.history.answerable_since(one)
                    yield self._span(proven, failures, max(end, failures[-1].at))
                    failures = []
                proven = one.at
        if failures:
            yield self._span(proven, failures, _NEVER)

    def _span(self, proven: float | None, failures: list[CanaryFailed], end: float) -> _Silence:
        first = failures[0]
        if proven is None:
            return _Silence(-_NEVER, end, tuple(failures))
        marked = [one.begin for one in self._faults if one.begin <= first.at and one.end > proven]
        if marked:
            begin = min(max(*marked, proven), first.sent)
        elif len(failures) > 1:
            begin = proven
        else:
            begin, end = first.sent, first.at
        return _Silence(begin, end, tuple(failures))

    def _standing_still(self, failing: list[_Silence]) -> Iterable[_Silence]:
        """The faults in which work was in flight and nothing came of it, by assumption 3."""
        for fault in self._faults:
            if any(span.begin < fault.end and span.end > fault.begin for span in failing):
                continue
            proofs = [
                one.at
                for one in self.history.seen
                if isinstance(one, CanaryPassed | Progress) and fault.begin < one.at < fault.end
            ]
            since = max(proofs, default=fault.begin)
            if since - fault.begin <= _SETTLES and self._pending(since, fault.end):
                yield _Silence(since, fault.end, ())

    def _pending(self, begin: float, end: float) -> bool:
        """Whether work was in flight at any time."""
        before = 0
        for one in self.history.seen:
            if isinstance(one, Load) and one.pending is not None:
                if one.at > end:
                    break
                if one.at > begin and one.pending:
                    return True
                before = one.pending if one.at <= begin else before
        return bool(before)

    def _unasked(self) -> Iterable[Evidence]:
        """What a judge is told: all but what followed from the recorded judge's own questions."""
        pending = 0
        for one in self.history.seen:
            if isinstance(one, Load) and one.pending is not None:
                pending = one.pending
            asked = isinstance(one, CanaryPassed | CanaryFailed | CanaryUnknown | Tick)
            if not asked or (pending and isinstance(one, CanaryPassed)):  # asked on top of work
                yield one


class _Passed:
    """Canaries that passed, by the time at which they were sent."""

    def __init__(self, passed: Iterable[CanaryPassed]) -> None:
        self._passed = sorted(passed, key=_sent)
        self._sent = [_sent(one) for one in self._passed]

    def nearest(self, at: float) -> CanaryPassed | None:
        """Return the one that is nearest to a time."""
        number = bisect_right(self._sent, at)
        around = self._passed[max(number - 1, 0) : number + 1]
        return min(around, key=lambda one: abs(_sent(one) - at), default=None)


def _sent(passed: CanaryPassed) -> float:
    return passed.at - passed.total


def _nearest(failures: tuple[CanaryFailed, ...], sent: float) -> CanaryFailed | None:
    """The last failure before a time, or the first one at all."""
    before = [one for one in failures if one.sent <= sent]
    return before[-1] if before else next(iter(failures), None)
