"""Busy is not hung: progress and a stall budget judge work in flight, canaries do not."""

from __future__ import annotations

import math

import pytest

from serinus.core.evidence import CanaryFault, Evidence, Load, Progress, Tick, Witness
from serinus.core.status import Reason
from tests.core.lives import (
    AT_ONCE,
    RULES,
    SILENCES,
    WRONG_ANSWERS,
    begun,
    busy,
    failed,
    idle,
    life,
    lived,
    passed,
    seen,
)

STALLED = ("notready", Reason.STALLED)
JUST_BEFORE = math.nextafter(62.0, 0.0)


def test_a_stall_is_one_at_its_budget_and_not_a_moment_before() -> None:
    """Work began at 2 s; the budget is 60 s."""
    working = life(passed(1), busy(2))
    assert working.stalls_at(RULES) == 62
    assert lived(working, Tick(JUST_BEFORE)).verdict.ready
    assert seen(lived(working, Tick(62))) == STALLED


@pytest.mark.parametrize(
    "flow", [Progress(30), Progress(30, Witness.COUNTERS), busy(40, flow_at=30), passed(30)]
)
def test_flow_moves_the_stall(flow: Evidence) -> None:
    """A stream that goes on, an engine's counter and a good canary show that work is done."""
    assert life(passed(1), busy(2), flow).stalls_at(RULES) == 90


def test_a_beginning_does_not_move_the_stall() -> None:
    """First items only, and nothing after them, is how a broken engine can look."""
    assert life(passed(1), busy(2), begun(30)).stalls_at(RULES) == 62


def test_more_work_does_not_move_the_stall() -> None:
    """New requests on top of ones that stand still are no sign of life."""
    assert life(passed(1), busy(2), busy(30, 9)).stalls_at(RULES) == 62


def test_work_that_begins_after_a_rest_begins_the_budget() -> None:
    """An idle hour is not silence."""
    rested = life(passed(1), busy(2), idle(3), busy(3600))
    assert rested.stalls_at(RULES) == 3660


def test_the_moment_when_waiting_began_is_believed_where_it_is_known() -> None:
    """A look that comes late does not shorten the silence."""
    assert life(passed(1), busy(10, flow_at=2)).stalls_at(RULES) == 62


def test_flow_never_goes_back() -> None:
    """A late report of earlier flow changes nothing."""
    assert life(passed(1), busy(2), Progress(30), busy(31, flow_at=20)).flow_at == 30
    assert life(passed(1), Progress(30), Progress(20)).flow_at == 30


@pytest.mark.parametrize("load", [idle(2), Load(2, None)])
def test_without_work_there_is_no_stall(load: Load) -> None:
    """Silence of an idle endpoint is a matter for canaries."""
    assert life(passed(1), load).stalls_at(RULES) is None
    assert life(passed(1), load, Tick(9000)).verdict.ready


def test_an_endpoint_without_a_canary_does_not_stall() -> None:
    """Nobody asked for it to be judged."""
    assert life(busy(2), canary=False).stalls_at(RULES) is None


@pytest.mark.parametrize("fault", SILENCES)
def test_silence_towards_a_canary_while_busy_counts_for_nothing(fault: CanaryFault) -> None:
    """The canary stood in a queue; the stall budget judges."""
    standing = life(passed(1), busy(2), failed(3, fault), failed(9, fault), rules=AT_ONCE)
    assert standing.verdict.ready
    assert (standing.failures, standing.fault, standing.asked_at) == (0, None, 9)


@pytest.mark.parametrize("fault", WRONG_ANSWERS)
def test_a_wrong_answer_counts_however_busy_it_is(fault: CanaryFault) -> None:
    """A queue explains silence, and no error."""
    assert not life(passed(1), busy(2), failed(3, fault), rules=AT_ONCE).verdict.ready


def test_a_timeout_of_an_idle_endpoint_counts() -> None:
    """Work that has ended excuses nothing."""
    assert not life(passed(1), busy(2), idle(3), failed(9), rules=AT_ONCE).verdict.ready


@pytest.mark.parametrize("fault", CanaryFault)
def test_a_canary_that_fails_while_output_comes_is_at_fault_itself(fault: CanaryFault) -> None:
    """Real output since it was sent is the better witness."""
    standing = life(passed(1), begun(14), failed(16, fault, sent=14), rules=AT_ONCE)
    assert standing.verdict.ready
    assert (standing.canary_faults, standing.failures, standing.fault) == (1, 0, None)


def test_output_from_before_the_canary_does_not_excuse_it() -> None:
    """Only what came since it was sent counts against it."""
    early = math.nextafter(14.0, 0.0)
    assert not life(passed(1), begun(early), failed(16, sent=14), rules=AT_ONCE).verdict.ready


def test_a_canary_that_passed_does_not_excuse_the_next() -> None:
    """Output of users is needed to blame the canary."""
    assert not life(passed(14), failed(16, sent=14), rules=AT_ONCE).verdict.ready


def test_a_stalled_endpoint_is_ready_again_with_the_next_flow() -> None:
    """Any progress is enough."""
    back = life(passed(1), busy(2), Tick(62), Progress(70))
    assert seen(back) == ("ready", Reason.TRAFFIC)
    assert back.verdict.since == 70


def test_a_stalled_endpoint_is_not_ready_again_with_a_mere_beginning() -> None:
    """The streams that stand still are still there."""
    assert seen(life(passed(1), busy(2), Tick(62), begun(70))) == STALLED


def test_work_given_up_by_its_users_leaves_a_stall_to_be_asked_about() -> None:
    """The stall does not go away with the users, and a canary can clear it."""
    given_up = life(passed(1), busy(2), Tick(62), idle(70))
    assert seen(given_up) == STALLED
    assert seen(lived(given_up, passed(71))) == ("ready", Reason.CANARY)


def test_a_saturated_engine_that_goes_on_is_ready_for_hours() -> None:
    """Canaries that wait in the queue and work that moves: not one verdict changes."""
    standing = life(passed(1), rules=AT_ONCE)
    first = standing.verdict
    for minute in range(1, 300):
        at = 60.0 * minute
        standing = lived(
            standing, busy(at, 16), Progress(at + 1), failed(at + 3, sent=at + 2), rules=AT_ONCE
        )
        assert standing.verdict is first


def test_work_that_a_page_shows_late_excuses_the_canary_behind_it() -> None:
    """A page lags: that it shows the work only after a canary was sent does not date the work."""
    healthy = life(passed(1), idle(10), failed(11.5, sent=11))
    page = Load(11.8, 1, witness=Witness.COUNTERS)
    shown = lived(healthy, page, failed(12.5, sent=12))
    assert shown.verdict.ready


def test_work_of_ours_that_came_after_a_silent_canary_does_not_excuse_it() -> None:
    """What we saw begin ourselves has its time, and an engine that takes it in is still silent."""
    ours = Load(20, 1, 20, newcomers=False)
    seen = lived(life(passed(1)), failed(12, sent=9), ours, failed(23, sent=9.5))
    assert seen.failures
