"""What was really wrong: by marks, or else by hindsight."""

from __future__ import annotations

import pytest

from serinus.core.evidence import EngineDied, Load, Loading, Phase, Progress, Registered, Tick
from serinus.core.rules import Rules
from serinus.replay import Fault, Source, faults_of
from serinus.replay.history import histories_of
from serinus.traces import Mark, Trace
from tests.replay.stories import Engine, around, failed, made, passed, trace_of

BORN = Registered(0.0, canary=True)
INF = float("inf")


def faults_in(trace: Trace) -> tuple[Fault, ...]:
    """Find them."""
    return faults_of(trace, histories_of(trace))


def test_marks_say_when_a_fault_begins_and_ends() -> None:
    """In any case of letters; other marks say nothing of faults."""
    marks = [(1.0, "warm"), *around(5.0, 9.0, "core frozen"), (20.0, "Fault: Killed Begins")]
    assert faults_in(trace_of(BORN, marks=marks)) == (
        Fault("core frozen", 5.0, 9.0, Source.MARKS),
        Fault("Killed", 20.0, INF, Source.MARKS),
    )


def test_an_end_without_a_beginning_is_no_fault_and_one_is_not_begun_twice() -> None:
    """Marks are made by people."""
    marks = [
        (1.0, "fault: x ends"),
        (2.0, "fault: x begins"),
        (3.0, "fault: x begins"),
        (4.0, "fault: x ends"),
    ]
    assert faults_in(trace_of(BORN, marks=marks)) == (Fault("x", 2.0, 4.0, Source.MARKS),)


def test_marks_go_before_hindsight() -> None:
    """Whoever made the fault knows better than who concluded it."""
    seen = (BORN, passed(1), failed(13), failed(15), passed(20))
    [fault] = faults_in(trace_of(*seen, marks=around(8, 19)))
    assert (fault.begin, fault.end, fault.source) == (8, 19, Source.MARKS)


def test_hindsight_dates_a_fault_back_to_the_last_proof() -> None:
    """It ends when the engine could answer again, as quickly as it usually does."""
    seen = (BORN, passed(1), passed(11), failed(23), failed(25), failed(27), passed(30, 0.5))
    assert faults_in(trace_of(*seen)) == (
        Fault("canary_timeout", 11, 29.9, Source.HINDSIGHT, "n.c.e"),
    )


def test_hindsight_of_a_stall_begins_with_the_silence() -> None:
    """And of a death with the death; a failure that was not confirmed is nothing."""
    seen = (
        BORN,
        passed(1),
        failed(13),
        passed(14),
        Load(20, 1),
        Progress(22),
        Tick(42),
        Progress(45),
    )
    rules = Rules(stall=20)
    [stall] = faults_in(trace_of(*seen, rules=rules))
    assert (stall.what, stall.begin, stall.end) == ("stalled", 22, 45)
    [death] = faults_in(trace_of(BORN, passed(1), EngineDied(50)))
    assert (death.what, death.begin, death.end) == ("engine_died", 50, INF)


def test_what_was_never_proven_is_no_fault() -> None:
    """A model that loads is not sick."""
    assert not faults_in(trace_of(BORN, failed(2), failed(4), failed(6), passed(7)))


def test_a_recorder_that_begins_again_accuses_nobody() -> None:
    """A new session knows of no proof yet: that is no fault, and what it finds then is one."""
    seen = (BORN, passed(1), passed(11), Registered(20, canary=True))
    assert not faults_in(trace_of(*seen, Loading(20.1, Phase.FIRST_TOKEN), passed(20.5)))
    [fault] = faults_in(trace_of(*seen, failed(23), failed(25), passed(40)))
    assert (fault.what, fault.begin, fault.end) == ("canary_timeout", 11, 39.9)


@pytest.mark.parametrize("begin", [53.0, 57.0, 60.5])
def test_hindsight_of_a_hang_is_never_later_than_the_hang(begin: float) -> None:
    """So that a delay by hindsight is no shorter than the true one."""
    [fault] = faults_in(made(Engine(hangs=[(begin, 100.0)])))
    assert begin - 10.2 <= fault.begin <= begin
    assert 100.0 <= fault.end <= 100.0 + 0.1 * (100.0 - begin) + 0.2  # the pace of questions


def test_a_trace_says_where_marks_are() -> None:
    """They stand where they were made."""
    assert trace_of(BORN, marks=[(3.0, "x")]).marks == (Mark(3.0, "x"),)
