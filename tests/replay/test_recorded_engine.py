"""What a canary would have brought that nobody sent: one test for each assumption."""

from __future__ import annotations

import pytest

from serinus.core.evidence import (
    CanaryFailed,
    CanaryFault,
    CanaryPassed,
    EngineDied,
    Evidence,
    Heard,
    Lease,
    Load,
    Loading,
    Phase,
    Progress,
    Registered,
    RequestFailed,
    RequestFault,
)
from serinus.replay import RecordedEngine, faults_of
from serinus.replay.history import histories_of
from tests.replay.stories import around, failed, passed, trace_of

BORN = Registered(0.0, canary=True)
INF = float("inf")


def engine(*seen: Evidence, marks: list[tuple[float, str]] | None = None) -> RecordedEngine:
    """The engine of a trace that begins with a birth."""
    trace = trace_of(BORN, *seen, marks=marks or [])
    histories = histories_of(trace)
    return RecordedEngine(histories[0], faults_of(trace, histories))


def asked(one: RecordedEngine, sent: float) -> tuple[float, Evidence | None]:
    """When a canary has its answer, and which."""
    answer = one.answer(sent)
    return answer.at, None if answer.at == INF else answer.evidence(answer.at)


def test_a_well_engine_answers_as_quickly_as_it_was_seen_to_nearest() -> None:
    """Assumption 4."""
    one = engine(passed(10, 0.1), passed(100, 0.9))
    assert asked(one, 20) == (20.1, CanaryPassed(20.1, 0.1, 0.1))
    assert asked(one, 80) == (80.9, CanaryPassed(80.9, 0.9, 0.9))


def test_answers_on_the_other_side_of_a_mark_do_not_count() -> None:
    """A slow engine was not slow before."""
    one = engine(passed(10, 0.1), passed(52, 1.5), passed(90, 0.2), marks=around(50, 80, "slow"))
    assert asked(one, 49)[0] == pytest.approx(49.1)
    assert asked(one, 79)[0] == pytest.approx(80.5)
    assert asked(one, 81)[0] == pytest.approx(81.2)


def test_between_a_mark_and_the_next_proof_canaries_hang_until_the_end() -> None:
    """Assumptions 1 and 2: a frozen engine answers when it is thawed."""
    one = engine(passed(10), failed(22), failed(24), passed(40.1), marks=around(15, 40))
    assert asked(one, 14.9)[0] == pytest.approx(15.0)
    at, evidence = asked(one, 16)
    assert at == pytest.approx(40.1)
    assert isinstance(evidence, CanaryPassed)
    assert evidence.total == pytest.approx(24.1)
    assert asked(one, 41)[0] == pytest.approx(41.1)


def test_without_a_mark_it_is_sick_from_the_last_proof() -> None:
    """Nothing shows that it was well any longer."""
    one = engine(passed(10), failed(22), failed(24), passed(40.1))
    assert asked(one, 9.9)[0] == pytest.approx(10.0)
    assert asked(one, 10.5)[0] == pytest.approx(40.1)


def test_a_failure_that_was_not_confirmed_counts_for_its_own_time() -> None:
    """A lost canary is not a fault of twenty seconds."""
    one = engine(passed(10), failed(22), passed(22.1), passed(32))
    assert asked(one, 19)[0] == pytest.approx(19.1)
    assert asked(one, 20.5)[0] == pytest.approx(22.1)
    assert asked(one, 22.5)[0] == pytest.approx(22.6)


def test_wrong_answers_come_as_quickly_as_they_came() -> None:
    """Only silence waits for its end."""
    wrong = CanaryFailed(22.0, 21.8, CanaryFault.ERROR_ITEM, "oops")
    again = CanaryFailed(24.0, 23.9, CanaryFault.EMPTY)
    one = engine(passed(10), wrong, again, passed(40))
    at, evidence = asked(one, 15)
    assert at == pytest.approx(15.2)
    assert isinstance(evidence, CanaryFailed)
    assert (evidence.sent, evidence.fault, evidence.detail) == (15, CanaryFault.ERROR_ITEM, "oops")
    assert asked(one, 30)[1] == CanaryFailed(30.1, 30, CanaryFault.EMPTY)


def test_what_never_ended_is_never_answered() -> None:
    """As far as the trace goes."""
    one = engine(passed(10), failed(22), failed(24))
    assert asked(one, 30) == (INF, None)
    assert not one.well(30)
    assert one.well(5)


def test_work_that_stands_still_through_a_fault_is_silence() -> None:
    """Assumption 3: no canary was sent, as it was busy."""
    seen = (passed(10), Load(20, 2), Progress(29.5), Progress(30.5), Progress(61), Load(70, 0))
    one = engine(*seen, marks=around(30, 60, "worker frozen"))
    assert asked(one, 29)[0] == pytest.approx(29.1)
    assert asked(one, 40)[0] == pytest.approx(60.1)
    assert asked(one, 61)[0] == pytest.approx(61.1)


def test_work_that_goes_on_through_a_fault_is_no_silence() -> None:
    """A fault of the metrics, or one that only slows."""
    seen: tuple[Evidence, ...] = (
        passed(10),
        Load(20, 2),
        *(Progress(float(at)) for at in range(21, 70)),
    )
    one = engine(*seen, marks=around(30, 60, "slow"))
    assert asked(one, 45)[0] == pytest.approx(45.1)


def test_a_dead_engine_refuses_and_one_that_loads_hears_nothing() -> None:
    """Assumption 6."""
    reborn = (Registered(60, canary=True), Loading(60, Phase.PORT_CLOSED))
    later = (Loading(70, Phase.NO_MODEL), Loading(80, Phase.FIRST_TOKEN), passed(81))
    one = engine(Loading(0.5, Phase.NO_MODEL), passed(10), EngineDied(50, "gone"), *reborn, *later)
    assert asked(one, 0.1) == (0.1, Loading(0.1, Phase.NO_MODEL))
    assert asked(one, 20)[0] == pytest.approx(20.1)
    assert asked(one, 55) == (55, CanaryFailed(55, 55, CanaryFault.REFUSED, "gone"))
    assert asked(one, 65) == (65, Loading(65, Phase.PORT_CLOSED))
    assert asked(one, 75) == (75, Loading(75, Phase.NO_MODEL))
    assert asked(one, 80.5)[0] == pytest.approx(80.6)


def test_before_the_first_proof_it_is_as_it_was_then() -> None:
    """It answered for the first time when it did."""
    one = engine(failed(2.5, sent=0.5), failed(4.5, sent=2.5), passed(5.5, 0.1))
    assert asked(one, 1)[0] == pytest.approx(5.5)


def test_what_followed_from_questions_is_not_told() -> None:
    """A judge asks its own."""
    told: tuple[Evidence, ...] = (
        Load(5, 0),
        Heard(6, True),
        RequestFailed(7, RequestFault.SERVER),
        Lease(8, 20),
        Progress(21),
        EngineDied(30),
    )
    one = engine(passed(1), *told[:3], failed(7.5), *told[3:])
    assert one.told == told


def test_a_canary_on_top_of_work_is_told() -> None:
    """It was asked by who watched the engine, not by the judge, which asks no busy engine."""
    one = engine(passed(1), Load(5, 1), passed(9), Load(10, 0), passed(11))
    assert one.told == (Load(5, 1), passed(9), Load(10, 0))


def test_an_engine_of_which_no_canary_was_recorded_answers_soon() -> None:
    """Traffic alone proved it."""
    assert asked(engine(Progress(1)), 5)[0] == pytest.approx(5.05)
