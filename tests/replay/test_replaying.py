"""The real judge over recorded evidence: the same settings say the same, others what they say."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.core.evidence import (
    Blinded,
    CanaryFailed,
    CanaryFault,
    CanaryUnknown,
    EngineDied,
    Evidence,
    Heard,
    Lease,
    Load,
    Progress,
    Registered,
)
from serinus.core.rules import Rules
from serinus.errors import TraceError
from serinus.replay import Outcome, Turn, case_of, own_word, recorded, replay, scored
from serinus.traces import Ruled, Seen, Trace
from tests.replay.stories import NAME, RULES, Engine, around, made, passed, trace_of

BORN = Registered(0.0, canary=True)


def shape(outcome: Outcome) -> list[tuple[float, bool]]:
    """When it turned, to a tenth of a second."""
    return [(round(turn.at, 1), turn.ready) for turn in outcome.turns]


@pytest.mark.parametrize(
    "engine",
    [
        Engine(),
        Engine(hangs=[(53.0, 100.0)]),
        Engine(errors=[(53.0, 100.0)]),
        Engine(hangs=[(30.0, 55.0), (120.0, 1e9)]),
        Engine(hangs=[(20.0, 21.5)], errors=[(60.0, 62.0), (150.0, 160.0)]),
    ],
)
def test_the_same_settings_say_what_was_said_then(engine: Engine) -> None:
    """The model of the engine, where it can be checked."""
    case = case_of(made(engine))
    then, again = recorded(case), replay(case)
    assert shape(again) == shape(then)
    assert again.canaries == pytest.approx(then.canaries, abs=1)
    assert again.live == then.live or len(again.live.turns) == len(then.live.turns)


@given(
    begin=st.floats(20, 150),
    lasts=st.floats(30, 100),
    wait=st.sampled_from([1.0, 3.0, 10.0, 20.0]),
    deadline=st.sampled_from([0.5, 2.0]),
    threshold=st.integers(1, 3),
)
@settings(deadline=None, max_examples=25)
def test_a_replay_says_of_a_hang_what_the_judge_would_have_said(
    begin: float, lasts: float, wait: float, deadline: float, threshold: int
) -> None:
    """Recorded by some settings, replayed by others, and compared with the others in earnest."""
    engine = Engine(hangs=[(begin, begin + lasts)])
    marks = around(begin, begin + lasts)
    others = RULES._replace(wait=wait, deadline=deadline, failure_threshold=threshold)
    case = case_of(made(engine, marks=marks))
    [earnest] = scored(recorded(case_of(made(engine, rules=others, marks=marks))), case.faults)[0]
    [replayed] = scored(replay(case, others), case.faults)[0]
    assert earnest.delay is not None
    assert replayed.delay is not None
    bound = wait + threshold * deadline + 0.5
    assert replayed.delay <= bound
    assert abs(replayed.delay - earnest.delay) <= wait + 0.5  # at most a whole wait out of phase


def test_other_settings_see_it_sooner_and_ask_more_often() -> None:
    """What a replay is for."""
    case = case_of(made(Engine(hangs=[(53.0, 100.0)]), marks=around(53, 100)))
    slow, quick = replay(case), replay(case, lambda rules: rules._replace(wait=1.0, deadline=0.5))
    [late], [soon] = scored(slow, case.faults).detections, scored(quick, case.faults).detections
    assert late.delay is not None
    assert soon.delay is not None
    assert soon.delay < 2.2 < late.delay
    assert quick.canaries > 4 * slow.canaries


def test_a_deadline_that_is_shorter_than_the_engine_condemns_it() -> None:
    """The answers take as long as they took."""
    case = case_of(made(Engine()))
    assert not replay(case, RULES._replace(deadline=0.05)).turns
    assert replay(case, RULES._replace(deadline=0.2)).turns


def test_the_same_seed_says_the_same_and_a_phase_moves_the_canaries() -> None:
    """Byte for byte."""
    case = case_of(made(Engine(hangs=[(53.0, 100.0)]), rules=RULES._replace(jitter=0.3)))
    assert replay(case, seed=7) == replay(case, seed=7)
    assert replay(case, seed=7) != replay(case, seed=8)
    early, late = replay(case, phase=0.0), replay(case, phase=0.5)
    assert early.turns != late.turns


def test_busy_engines_are_judged_by_their_progress() -> None:
    """By the stall budget that is tried."""
    told: list[Evidence] = [Load(20.0, 2)]
    told += [Progress(float(at)) for at in range(21, 60)]
    told += [Load(100.0, 2), Progress(100.0), Load(101.0, 0)]
    case = case_of(made(told=told, marks=around(59, 100, "worker frozen"), rules=RULES))
    for stall in (5.0, 20.0, 30.0):
        outcome = replay(case, RULES._replace(stall=stall))
        [seen] = scored(outcome, case.faults).detections
        assert seen.delay == pytest.approx(stall, abs=0.1)
    assert scored(replay(case, RULES._replace(stall=60.0)), case.faults).worst == float("inf")
    assert not scored(replay(case, RULES._replace(stall=5.0)), case.faults).false_alarms
    assert scored(replay(case, RULES._replace(stall=0.5)), case.faults).false_alarms


def test_what_our_own_trouble_hid_then_is_no_silence_of_the_engine() -> None:
    """The recorder saw nothing for twenty seconds: nobody stalled, by any stall budget."""
    told: list[Evidence] = [Load(20.0, 2), *(Progress(float(at)) for at in range(21, 60))]
    told += [Blinded(80.0, 60.0, "our loop"), *(Progress(float(at)) for at in range(80, 120))]
    case = case_of(made(told=[*told, Load(120.0, 0)]))
    assert not scored(replay(case, RULES._replace(stall=5.0)), ()).false_alarms
    hidden = [one for one in told if not isinstance(one, Blinded)]
    blamed = case_of(made(told=[*hidden, Load(120.0, 0)]))
    assert scored(replay(blamed, RULES._replace(stall=5.0)), ()).false_alarms


def test_leases_and_deaths_are_told_as_they_were() -> None:
    """They do not depend on questions."""
    engine = Engine(hangs=[(50.0, 80.0)])
    leased = case_of(made(engine, told=[Lease(45.0, 85.0, "weights")]))
    assert all(turn.ready for turn in replay(leased).turns)
    dead = case_of(trace_of(BORN, passed(1), EngineDied(50.0, "gone"), Load(60, 0)))
    outcome = replay(dead)
    assert shape(outcome)[-1] == (50.0, False)
    assert not outcome.live.at(51)
    assert outcome.live.at(49)


def test_a_recorder_that_begins_again_is_no_alarm_and_no_detection() -> None:
    """In the middle of a fault neither: a judge that has just begun has not found it."""
    again = Registered(60.0, canary=True)
    well = case_of(made(told=[again]))
    for outcome in (recorded(well), replay(well)):
        assert [turn.ready for turn in outcome.turns] == [True]
        assert not scored(outcome, ()).false_alarms
    sick = case_of(made(Engine(hangs=[(59.0, 90.0)]), told=[again], marks=around(59.0, 90.0)))
    for outcome in (recorded(sick), replay(sick)):
        [detection] = scored(outcome, sick.faults).detections
        assert detection.delay is not None
        assert detection.delay >= 1.0 + RULES.deadline


def test_a_proven_hang_turns_liveness_after_its_budget() -> None:
    """As `/live` would have."""
    case = case_of(made(Engine(hangs=[(53.0, 1e9)]), until=200))
    outcome = replay(case, RULES._replace(hang=30))
    fell = next(turn.at for turn in outcome.turns if not turn.ready)
    assert outcome.live.at(fell + 29)
    assert not outcome.live.at(fell + 31)
    assert replay(case, RULES._replace(hang=1000)).live.at(199)


def test_rules_that_changed_during_the_recording_change_in_the_replay() -> None:
    """What is tried is put in place of each."""
    trace = made(Engine(hangs=[(53.0, 100.0)]))
    changed = Trace((*trace.entries, Ruled(40.0, NAME, RULES._replace(deadline=20.0))))
    case = case_of(changed)
    assert case.histories[0].rules(39.0).deadline == 2.0
    assert case.histories[0].rules(40.0).deadline == 20.0
    slow = scored(replay(case), case.faults or case_of(trace).faults)
    fixed = scored(replay(case, RULES), case_of(trace).faults)
    assert (slow.worst or 0) > (fixed.worst or 0)


def test_the_engines_own_word_is_a_judge_too() -> None:
    """A poll of its health: what it says, and its silence, if that was not a single one."""
    good = (Heard(1, True), Heard(10, None), Heard(20, True))
    seen = (*good, Heard(38, None), Heard(40, None), Heard(60, False), Heard(80, True))
    case = case_of(trace_of(BORN, passed(1), *seen, marks=around(30, 70)))
    outcome = own_word(case)
    assert outcome is not None
    assert shape(outcome) == [(1, True), (40, False), (80, True)]
    assert scored(outcome, case.faults).worst == 10
    assert own_word(case_of(trace_of(BORN, passed(1)))) is None


def test_nobodys_health_answers_at_a_closed_port() -> None:
    """After a death the engine is not asked for its word: what refuses a canary refuses a poll."""
    refused = CanaryFailed(33, 33, CanaryFault.REFUSED)
    case = case_of(trace_of(BORN, passed(1), Heard(2, True), refused, marks=around(30, 70)))
    outcome = own_word(case)
    assert outcome is not None
    assert shape(outcome) == [(1, True), (33, False)]
    assert own_word(case_of(trace_of(BORN, passed(1), refused))) is None


def test_an_engine_that_was_first_asked_in_a_fault_was_well_before() -> None:
    """Its health is not polled while canaries pass, where the poll generates."""
    seen = (passed(5), Heard(35, None), Heard(39, None), Heard(80, True))
    case = case_of(trace_of(BORN, *seen, marks=around(30, 70)))
    outcome = own_word(case)
    assert outcome is not None
    assert shape(outcome) == [(5, True), (39, False), (80, True)]
    assert scored(outcome, case.faults).worst == 9


def test_several_endpoints_are_judged_together() -> None:
    """Ready when all are; custom checks are left out."""
    one = made(Engine(hangs=[(53.0, 100.0)]))
    other = made(Engine())
    renamed = tuple(
        entry._replace(target="n.c.other") for entry in other.entries if isinstance(entry, Seen)
    )
    check = Seen("a disk", Registered(0.0, canary=True))
    case = case_of(Trace((*one.entries, *renamed, check)))
    assert [str(history.address) for history in case.histories] == ["n.c.e", "n.c.other"]
    outcome = replay(case)
    assert {turn.target for turn in outcome.turns} == {"n.c.e", "n.c.other"}
    assert not outcome.ready.at(70)
    assert outcome.ready.at(110)


def test_a_trace_of_no_endpoint_cannot_be_replayed() -> None:
    """And says so."""
    with pytest.raises(TraceError, match="no evidence of any endpoint"):
        replay(Trace((Seen("a disk", BORN),)))


def test_an_outcome_that_meant_nothing_then_is_not_told() -> None:
    """Our loop was late then; it is not late now."""
    case = case_of(
        trace_of(BORN, passed(1), CanaryUnknown(12, "our loop"), passed(14), Load(60, 0))
    )
    assert replay(case, Rules(jitter=0)).canaries == recorded(case).canaries + 3


def turn(at: float, *, ready: bool) -> Turn:
    """A turn of the endpoint."""
    [one, *_] = replay(case_of(trace_of(BORN, passed(1)))).turns
    return one._replace(at=at, ready=ready)


def test_a_score_counts_delays_false_alarms_and_flaps() -> None:
    """By hand."""
    case = case_of(trace_of(BORN, passed(1), marks=[*around(20, 40), *around(60, 70, "x")]))
    outcome = replay(case)._replace(
        turns=tuple(
            turn(at, ready=ready)
            for at, ready in [
                (1, True),
                (10, False),  # nothing was wrong
                (11, True),
                (23, False),  # seen after 3 s
                (30, True),
                (31, False),  # and again: a flap
                (44, True),  # ready 4 s after the end
            ]
        )
    )
    score = scored(outcome, case.faults)
    assert [(one.delay, one.recovery) for one in score.detections] == [(3, 4), (None, None)]
    assert [one.at for one in score.false_alarms] == [10]
    assert score.flaps == 1
    assert score.median == 3
    assert score.worst == float("inf")
