"""When users' work went on, by a page that is read now and then.

What moved between two readings did so at an unknown time between them. Silence counts from the
first of them: so that a standstill is seen within its budget from the last token, and no more than
the pace of readings before it is over.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.evidence import CanaryPassed, Load, Progress, Registered, Tick, Witness
from serinus.core.rules import Rules
from serinus.core.status import Reason
from serinus.core.verdict import Standing
from serinus.engines import Counters
from serinus.sidecar.book import Book, busy_pace

STALL = 3.0
PACE = busy_pace(interval=0.25, stall=STALL)


def page(tokens: float) -> Counters:
    """One request, and so many tokens of it."""
    return Counters(running=1, tokens=tokens)


def opened(at: float = 10.0) -> Book:
    """A book with one reading, which was asked for a moment before it was known."""
    book = Book(stall=STALL, pace=PACE)
    book.read(page(100), began=at - 0.01, at=at)
    return book


def test_readings_come_more_often_where_the_budget_is_short() -> None:
    """Thirty within it, and no fewer than are asked for."""
    assert busy_pace(interval=0.25, stall=3.0) == 0.1
    assert busy_pace(interval=1.0, stall=60.0) == 1.0
    assert busy_pace(interval=0.05, stall=3.0) == 0.05


def test_what_moved_is_dated_by_the_reading_before() -> None:
    """By the moment at which that was asked for: its numbers are no older."""
    book = opened(10.0)
    seen = book.read(page(140), began=10.06, at=10.08)
    assert (seen.at, seen.flow_at) == (10.08, 9.99)
    seen = book.read(page(180), began=10.12, at=10.13)
    assert seen.flow_at == 10.06


def test_what_stood_still_has_no_date() -> None:
    """And does not hide when it moved."""
    book = opened(10.0)
    assert book.read(page(100), began=10.05, at=10.06).flow_at is None
    assert book.read(page(140), began=10.10, at=10.11).flow_at == 10.05


@pytest.mark.parametrize("late", [0.2, 5.0, 500.0])
def test_late_readings_are_not_held_against_the_engine(late: float) -> None:
    """A page that took long, or was not read: movement may be as old as the pace, and no older."""
    book = opened(10.0)
    seen = book.read(page(140), began=10.0 + late / 2, at=10.0 + late)
    assert seen.flow_at == pytest.approx(10.0 + late - PACE)


def test_after_a_reading_that_failed_movement_is_dated_by_what_shows_it() -> None:
    """It is not known since when."""
    book = opened(10.0)
    book.trouble = "no metrics within 1 s"
    assert book.read(page(140), began=10.05, at=10.06).flow_at == 10.06
    assert book.read(page(180), began=10.10, at=10.11).flow_at == 10.05


def test_counters_that_began_anew_are_no_movement() -> None:
    """And the next movement is dated by that reading."""
    book = opened(10.0)
    seen = book.read(page(3), began=10.05, at=10.06)
    assert (seen.anew, seen.progress, seen.flow_at) == (True, False, None)
    assert book.read(page(40), began=10.10, at=10.11).flow_at == 10.05


def test_another_engine_has_no_reading_before() -> None:
    """The first is no movement, and the second is dated by it."""
    book = opened(10.0)
    book.forget()
    assert book.read(page(900), began=10.05, at=10.06).flow_at is None


def watched(tokens: list[float], *, offset: float, until: float) -> float | None:
    """When an engine whose tokens come at these times is said to stand still, if it is.

    It is read every `PACE` from `offset` on, and judged at each reading and by the budget's end.
    """
    rules = Rules(wait=60.0, stall=STALL)
    standing = Standing.of(Registered(0.0, canary=True))
    standing = standing.after(CanaryPassed(0.01, 0.01, 0.01), rules)
    book = Book(stall=STALL, pace=PACE)
    number = 0
    while (at := offset + number * PACE) < until:
        number += 1
        due = standing.stalls_at(rules)
        if due is not None and due <= at:
            standing = standing.after(Tick(due), rules)
        if standing.verdict.reason is Reason.STALLED:
            return standing.verdict.since
        made = 100 * sum(token <= at for token in tokens)
        seen = book.read(Counters(running=1, tokens=made), began=at, at=at)
        if seen.progress:
            told = Progress(at, Witness.COUNTERS, flow_at=seen.flow_at)
            standing = standing.after(told, rules)
        standing = standing.after(Load(at, 1, witness=Witness.COUNTERS), rules)
    return None


offsets = st.floats(0.1, 0.1 + PACE)


@given(st.lists(st.floats(0.001, STALL - 2 * PACE - 0.001), min_size=3, max_size=20), offsets)
def test_a_standstill_is_seen_within_its_budget_from_the_last_token(
    gaps: list[float], offset: float
) -> None:
    """And not before it is over but for the pace of readings; no shorter one is called one."""
    tokens = [0.3 + sum(gaps[:n]) for n in range(len(gaps) + 1)]
    stalled = watched(tokens, offset=offset, until=tokens[-1] + 2 * STALL)
    assert stalled is not None
    assert STALL - 2 * PACE - 1e-9 <= stalled - tokens[-1] <= STALL + 1e-9
