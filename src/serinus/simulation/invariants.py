"""What Serinus promises of every schedule, whatever happens in it.

Each promise is a function that takes a schedule, the record of its judging and the promise's
terms, and returns what breaks it, a line each. `docs/simulation.md` has the bounds in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from serinus.core.rules import Rules
from serinus.simulation.faults import STOPS, Fault, Window
from serinus.simulation.record import Record
from serinus.simulation.schedule import Schedule

__all__ = ["INVARIANTS", "Terms", "broken"]

_ROUNDING = 0.01
_RESTART_HELPS = frozenset({Fault.HANG, Fault.STALL, Fault.PARTIAL, Fault.CRASH})


class Terms(NamedTuple):
    """What the settings promise. `asleep`: when the judge's host slept, in schedule seconds."""

    rules: Rules
    grace: float = 1.0
    """The cancel grace, in seconds."""
    asleep: tuple[Window, ...] = ()

    @property
    def seen_within(self) -> float:
        """Seconds within which a fault that stops tokens is seen.

        An idle engine is asked after `wait` (one of several ranks in its turn, after `idle`), and
        then asked again; a busy one has its stall budget.
        Users who come and give up can make it both, one after the other.
        """
        rules = self.rules
        return (
            rules.idle + rules.stall + (rules.failure_threshold + 1) * (rules.deadline + self.grace)
        )

    @property
    def ready_within(self) -> float:
        """Seconds within which an engine that serves again is ready.

        The question in flight may have to fail first; then each proof takes the wait of a long
        outage and the answer's time.
        """
        rules = self.rules
        return rules.deadline + self.grace + rules.success_threshold * (rules.wait + rules.deadline)

    def slept(self, start: float, end: float) -> float:
        """Seconds of a time in which nobody could judge, and after which all budgets begin anew."""
        over = [w for w in self.asleep if w.start < end and w.end > start]
        return max((w.end - start for w in over), default=0.0)


Invariant = Callable[[Schedule, Record, Terms], Iterator[str]]


def verdicts_have_evidence(_schedule: Schedule, record: Record, _terms: Terms) -> Iterator[str]:
    """No verdict without evidence that was told at that moment. Needs the history."""
    told = ""
    for line in record.history or ():
        if "==>" not in line:
            told = line[:14]
        elif ("==> ready" in line or "==> not ready" in line) and line[:14] != told:
            yield f"a verdict without evidence:{line}"


def the_well_are_ready(schedule: Schedule, record: Record, terms: Terms) -> Iterator[str]:
    """An engine that serves, busy or slow as it may be, is never not ready."""
    proven = next((turn.at for turn in record.ready if turn.good), schedule.seconds)
    for start, _, why in Record.spells(record.ready, schedule.seconds):
        if start > proven and not _stopped(schedule, start, terms.ready_within):
            yield f"not ready ({why}) at {start:.3f} s, and nothing was wrong"


def the_sick_are_seen(schedule: Schedule, record: Record, terms: Terms) -> Iterator[str]:
    """A fault that stops tokens is seen within its bound, if it lasts as long."""
    spells = list(Record.spells(record.ready, schedule.seconds))
    for window in schedule.windows:
        bound = window.start + terms.seen_within
        bound += terms.slept(window.start, bound)
        if window.fault not in STOPS or bound > min(window.end, schedule.seconds):
            continue
        if not any(end > window.start and start <= bound for start, end, _ in spells):
            yield f"{window} was not seen within {bound - window.start:.1f} s"


def the_recovered_are_ready(schedule: Schedule, record: Record, terms: Terms) -> Iterator[str]:
    """Once tokens come again the engine is ready within its bound."""
    for window in schedule.windows:
        if window.fault not in STOPS or window.end + 2 * terms.ready_within > schedule.seconds:
            continue
        bound = window.end + terms.ready_within
        bound += terms.slept(window.end, bound)
        if not any(turn.good and turn.at >= window.start for turn in record.ready) and any(
            not turn.good for turn in record.ready if turn.at >= window.start
        ):
            yield f"{window}: never ready again"
            continue
        for start, end, why in Record.spells(record.ready, schedule.seconds):
            if start < window.end and end > bound:
                yield f"{window}: still not ready ({why}) {end - window.end:.1f} s after its end"


def nobody_relapses(schedule: Schedule, record: Record, terms: Terms) -> Iterator[str]:
    """After a recovery our own canaries do not turn it again."""
    for window in schedule.windows:
        if window.fault not in STOPS:
            continue
        until = window.end + terms.ready_within
        back = [t.at for t in record.ready if t.good and window.end + _ROUNDING <= t.at <= until]
        for turn in record.ready:
            if back and not turn.good and back[0] < turn.at <= until:
                yield f"{window}: ready again at {back[0]:.3f} s, and not at {turn.at:.3f} s"


def one_canary_at_a_time(_schedule: Schedule, record: Record, _terms: Terms) -> Iterator[str]:
    """There is never more than one canary in flight."""
    if record.most_in_flight > 1:
        yield f"{record.most_in_flight} canaries were in flight at once"


def liveness_falls_for_hangs(schedule: Schedule, record: Record, terms: Terms) -> Iterator[str]:
    """Liveness falls only while a restart would help: a hang, or a death."""
    for start, _, why in Record.spells(record.live, schedule.seconds):
        helps = any(
            w.fault in _RESTART_HELPS and w.start - _ROUNDING <= start <= w.end + terms.ready_within
            for w in schedule.windows
        )
        if not helps:
            yield f"not live ({why}) at {start:.3f} s, and a restart would not help"


INVARIANTS: Mapping[str, Invariant] = {
    one.__name__: one
    for one in (
        verdicts_have_evidence,
        the_well_are_ready,
        the_sick_are_seen,
        the_recovered_are_ready,
        nobody_relapses,
        one_canary_at_a_time,
        liveness_falls_for_hangs,
    )
}


def broken(schedule: Schedule, record: Record, terms: Terms) -> list[str]:
    """Return what breaks any of them."""
    return [
        f"{name}: {problem}"
        for name, invariant in INVARIANTS.items()
        for problem in invariant(schedule, record, terms)
    ]


def _stopped(schedule: Schedule, at: float, afterwards: float) -> bool:
    return any(
        window.fault in STOPS and window.start - _ROUNDING <= at <= window.end + afterwards
        for window in schedule.windows
    )
