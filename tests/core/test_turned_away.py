"""An engine that fails all that is new while it goes on with what is old."""

from __future__ import annotations

from serinus.core.evidence import CanaryFault, Progress, RequestFailed, RequestFault
from serinus.core.status import Reason
from tests.core.lives import RULES, begun, busy, failed, idle, life, lived, passed, seen

EMPTY = CanaryFault.EMPTY
REJECTED = RequestFailed(11.0, RequestFault.SERVER)


def goes_on(at: float, *, began_at: float = 5.0) -> Progress:
    """Output of a request that began to bring some at `began_at`."""
    return Progress(at, began_at=began_at)


def test_output_of_old_requests_clears_no_suspicion_of_new_ones() -> None:
    """It says nothing of them."""
    standing = life(passed(1), busy(4), goes_on(10), REJECTED, goes_on(11.5))
    assert standing.suspected
    assert not lived(standing, goes_on(12, began_at=12)).suspected
    assert not lived(standing, passed(12)).suspected


def test_a_canary_that_fails_as_new_requests_do_counts_beside_output_of_old_ones() -> None:
    """Nobody who comes now is served."""
    suspected = life(passed(1), busy(4), goes_on(10), REJECTED, goes_on(11.2))
    first = lived(suspected, failed(11.5, EMPTY, sent=11.1))
    assert (first.failures, first.canary_faults) == (1, 0)
    second = lived(first, goes_on(11.8), failed(12, EMPTY, sent=11.6))
    assert seen(second) == ("notready", Reason.CANARY_EMPTY)


def test_output_of_old_requests_does_not_take_the_verdict_back() -> None:
    """A request that began since does, and so does a canary."""
    turned = life(
        passed(1),
        busy(4),
        goes_on(10),
        REJECTED,
        goes_on(11.2),
        failed(11.5, EMPTY, sent=11.1),
        failed(12, EMPTY, sent=11.6),
    )
    assert not lived(turned, goes_on(13)).verdict.ready
    assert lived(turned, goes_on(13, began_at=13)).verdict.ready
    assert lived(turned, goes_on(13), passed(14)).verdict.ready


def test_nor_where_the_questions_failed_too_quickly_for_any_output_between_them() -> None:
    """An engine may refuse within a millisecond."""
    turned = life(
        passed(1),
        busy(4),
        goes_on(10),
        REJECTED,
        failed(11.002, EMPTY, sent=11.001),
        failed(11.004, EMPTY, sent=11.003),
    )
    assert seen(turned) == ("notready", Reason.CANARY_EMPTY)
    assert not lived(turned, goes_on(11.01)).verdict.ready
    assert lived(turned, goes_on(13, began_at=13)).verdict.ready


def test_without_a_failed_request_it_counts_against_the_canary() -> None:
    """Users are served: the question is at fault."""
    standing = life(passed(1), busy(4), goes_on(10), goes_on(11.2), failed(11.5, EMPTY, sent=11))
    assert (standing.failures, standing.canary_faults) == (0, 1)


def test_where_beginnings_are_not_told_apart_any_output_speaks_for_the_engine() -> None:
    """As with an engine's counters."""
    standing = life(passed(1), busy(4), REJECTED, Progress(11.2), failed(11.5, EMPTY, sent=11.1))
    assert (standing.failures, standing.canary_faults) == (0, 1)


def test_a_silent_canary_beside_output_counts_against_the_canary_as_ever() -> None:
    """It may only be waiting its turn."""
    standing = life(passed(1), busy(4), goes_on(10), REJECTED, goes_on(11.2), failed(14, sent=11))
    assert (standing.failures, standing.canary_faults) == (0, 1)


def test_an_empty_answer_brings_a_question_and_a_bad_request_does_not() -> None:
    """Nobody said that anything is wrong, but an answer without a token is strange."""
    assert life(passed(1), RequestFailed(2, RequestFault.EMPTY)).suspected
    assert not life(passed(1), RequestFailed(2, RequestFault.CLIENT)).suspected


# --- work that came after the question --------------------------------------------------------


def test_work_that_came_when_a_canary_had_long_been_silent_does_not_excuse_it() -> None:
    """It was not in its way."""
    standing = life(passed(1), busy(13, flow_at=12.6), failed(14, sent=11))
    assert standing.failures == 1


def test_work_that_came_soon_after_the_canary_excuses_it() -> None:
    """Both may have been read together."""
    assert life(passed(1), busy(13, flow_at=12.4), failed(14, sent=11)).failures == 0


def test_nor_does_it_excuse_the_question_that_follows() -> None:
    """The engine was silent before anybody came."""
    second = life(passed(1), failed(14, sent=11), busy(14.1), failed(17, sent=14.2))
    assert seen(second) == ("notready", Reason.CANARY_TIMEOUT)


def test_work_before_a_wrong_answer_excuses_the_silence_after_it() -> None:
    """What counted was no silence."""
    wrong = failed(14, EMPTY, sent=13)
    assert life(passed(1), wrong, busy(14.1), failed(17, sent=14.2)).failures == 1


# --- doubts -----------------------------------------------------------------------------------

DOUBTING = RULES._replace(doubt=2.0, on_top=1.0)


def test_a_question_about_something_else_does_not_put_off_a_doubt() -> None:
    """It was sent before the silence was one to wonder about."""
    standing = life(passed(1), busy(10, flow_at=9.8), failed(11, sent=9.9), rules=DOUBTING)
    assert standing.doubted_at(DOUBTING) == 11.8


def test_a_doubt_that_was_answered_is_raised_again_after_the_wait() -> None:
    """A long prompt need not be asked about every second."""
    standing = life(passed(1), busy(10), rules=DOUBTING)
    answered = lived(standing, passed(12.3)._replace(flow=False), rules=DOUBTING)
    assert answered.doubted_at(DOUBTING) == 12.3 + DOUBTING.wait


def test_a_doubt_beside_which_a_request_began_is_raised_again_soon() -> None:
    """The engine reads, and may not write: the question may have waited for the reading."""
    standing = life(passed(1), busy(10), rules=DOUBTING)
    began = Progress(12.5, flow=False, began_at=12.5)
    asked = lived(standing, began, failed(13, sent=12.1), rules=DOUBTING)
    assert asked.doubted_at(DOUBTING) == 13 + DOUBTING.doubt


def test_a_rest_ends_the_doubt() -> None:
    """Without work there is nothing to doubt."""
    assert life(passed(1), busy(10), idle(11), rules=DOUBTING).doubted_at(DOUBTING) is None


def test_a_first_token_does_not_take_a_standstill_back() -> None:
    """What stood still stands still: the engine reads, and does not write."""
    doubted = life(passed(1), busy(10)._replace(newcomers=False), rules=DOUBTING)
    stalled = lived(doubted, failed(13, sent=12), rules=DOUBTING)
    assert seen(stalled) == ("notready", Reason.STALLED)
    began = Progress(15, flow=False, began_at=15)
    assert seen(lived(stalled, began)) == ("notready", Reason.STALLED)  # by the configured rules
    assert lived(stalled, began, Progress(15.1, began_at=15)).verdict.ready
    assert lived(stalled, began, passed(16)).verdict.ready
    assert lived(stalled, began, idle(16), begun(17)).verdict.ready
