"""The engine that is arithmetic, held against what it says of itself."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.errors import SettingsError
from serinus.simulation.course import Course
from serinus.simulation.engine import Fate, SimulatedEngine
from serinus.simulation.faults import Fault, Window, faults_named
from serinus.simulation.schedule import Pace, Regime, Schedule, generate
from serinus.simulation.world import Plan, schedules

PACE = Pace(slots=2, gap=0.02, prefill=0.1, load=10.0)


def engine(*windows: Window, rate: float = 0.0, seconds: float = 1000.0) -> SimulatedEngine:
    """An engine with these faults."""
    regimes = (Regime(0.0, rate, 100.0, "users"),)
    return SimulatedEngine(Schedule("x", seconds, PACE, regimes, windows), began=0.0)


pieces = st.lists(
    st.tuples(st.floats(0, 900), st.floats(0.1, 100), st.sampled_from([0.0, 0.1, 0.5])).map(
        lambda p: (p[0], p[0] + p[1], p[2])
    ),
    max_size=5,
)


@given(pieces, st.floats(0, 1000), st.floats(0.001, 500))
def test_work_takes_as_long_as_its_course_says(
    course: list[tuple[float, float, float]], at: float, work: float
) -> None:
    """What is done when it is said to be done is what was asked for."""
    line = Course(course)
    assert line.done(line.after(at, work)) == pytest.approx(line.done(at) + work, abs=1e-6)
    assert line.after(at, work) >= at + work - 1e-6


def test_a_healthy_engine_answers_a_canary_after_its_prompt() -> None:
    """One token, and its stream ends with it."""
    request = engine().ask(10.0)
    assert request.fate is Fate.TOKENS
    assert request.first == pytest.approx(10.0 + PACE.gap)
    assert request.ends == pytest.approx(request.first, abs=1e-3)


def test_a_frozen_engine_answers_when_it_thaws() -> None:
    """And a partial one begins its answer, and ends it later."""
    hung = engine(Window(Fault.HANG, 100.0, 200.0)).ask(150.0)
    assert hung.first > 200.0
    partial = engine(Window(Fault.PARTIAL, 100.0, 200.0)).ask(150.0)
    assert partial.first < 151.0
    assert partial.ends >= 200.0


def test_a_crash_drops_what_is_in_flight_and_refuses_what_comes() -> None:
    """Until it has come back."""
    crashed = engine(Window(Fault.HANG, 90.0, 150.0), Window(Fault.CRASH, 100.0, 200.0))
    before = crashed.ask(95.0)
    assert (before.fate, before.ends) == (Fate.DROPPED, 100.0)
    assert crashed.ask(150.0).fate is Fate.REFUSED
    assert crashed.ask(201.0).fate is Fate.TOKENS


def test_a_canary_waits_behind_the_work_of_all_slots() -> None:
    """First come, first served; and a slot that is given up is free."""
    busy = engine(Window(Fault.SATURATION, 100.0, 101.0, 3.0))
    request = busy.ask(100.5)
    assert request.start > 101.0
    busy.abort(request, 101.0)
    assert request not in busy.active


def test_tokens_only_ever_grow_and_stand_still_in_a_freeze() -> None:
    """Counters are what judges look at."""
    one = engine(Window(Fault.STALL, 300.0, 400.0), rate=0.2)
    before, flowing = 0, set()
    for at in range(1000):
        one.advance(float(at))
        now = one.tokens(float(at))
        assert now >= before
        if 301 <= at < 400:
            assert now == before
        flowing.add(now > before)
        before = now
    assert flowing == {True, False}


def test_the_next_token_is_when_the_count_moves() -> None:
    """Who waits for it misses none."""
    one = engine(rate=0.5)
    at = 0.0
    for _ in range(200):
        following = min(one.next_token(at), one.next_arrival())
        if following == inf:
            break
        before = one.tokens(at)
        one.advance(following - 1e-9)
        assert one.tokens(following - 1e-9) in {before, before + 1}
        at = following + 1e-6
        one.advance(at)


@given(st.integers(0, 10**6), st.booleans())
def test_a_schedule_is_a_matter_of_its_seed(seed: int, busy: bool) -> None:
    """Its windows do not overlap, end in time, and leave time to recover."""
    one = generate(str(seed), seconds=3600, busy=busy)
    assert list(one.lines()) == list(generate(str(seed), seconds=3600, busy=busy).lines())
    for before, after in zip(one.windows, one.windows[1:], strict=False):
        assert before.end + 100 < after.start
    assert all(window.end < one.seconds for window in one.windows)


def test_users_do_not_depend_on_who_looks() -> None:
    """All judges have the same schedules."""
    one, again = (schedules(Plan(3, engines=2))[1] for _ in range(2))
    assert one.arrivals == again.arrivals
    arrivals = [arrival.at for arrival in one.arrivals]
    assert arrivals
    assert arrivals == sorted(arrivals)


def test_a_fault_that_is_not_known_is_named() -> None:
    """With what is accepted."""
    with pytest.raises(SettingsError, match=r"'hnag' is not known; accepted: all, stops"):
        faults_named("hang,hnag")


def test_who_waits_for_a_slot_fails_too_when_the_turn_comes_in_a_fault() -> None:
    """And the slot is free at once for the next one."""
    failing = engine(Window(Fault.SATURATION, 100.0, 101.0, 3.0), Window(Fault.ERROR, 101.0, 500.0))
    failing.advance(100.5)
    waiting = [one for one in failing.active if one.start > 101.0]
    assert waiting
    assert {one.fate for one in waiting} == {Fate.ERROR}
    assert all(one.ends < one.start + 0.01 for one in waiting)


def test_work_goes_on_until_it_ends_or_the_engine_freezes() -> None:
    """What is said of the future comes true: a token a gap until then."""
    busy = engine(Window(Fault.SATURATION, 50.0, 51.0, 3.0), Window(Fault.STALL, 60.013, 200.0))
    busy.advance(55.0)
    going = [one for one in busy.active if one.first <= 55.0]
    assert going
    for one in going:
        until = busy.goes_on_until(one, 55.0)
        assert 55.0 < until <= min(one.ends, 60.013)
        assert busy.flowed_at(one, until) >= until - one.gap
    frozen = going[-1]
    assert busy.goes_on_until(frozen, 100.0) == busy.flowed_at(frozen, 100.0) <= 60.013
