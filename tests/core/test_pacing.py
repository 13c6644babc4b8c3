"""What is due next: never too late, never on top of work, never inside a lease."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.evidence import (
    CanaryFault,
    CanaryUnknown,
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
    Sleep,
    Tick,
)
from serinus.core.pacing import (
    Due,
    Exam,
    Step,
    may_hurry,
    next_due,
    next_exam,
    next_look,
    on_top_at,
)
from serinus.core.rules import Rules
from serinus.core.verdict import Standing
from tests.core.lives import AT_ONCE, RULES, begun, busy, failed, idle, life, lived, passed

NEVER = float("inf")
NOW = float("-inf")
SERVER = RequestFailed(5.0, RequestFault.SERVER)
TWICE = RULES._replace(success_threshold=2)
"""Two proofs are needed to be ready."""

ASKED: dict[str, tuple[tuple[Evidence, ...], float]] = {
    "a new endpoint, at once": ((), NOW),
    "a new endpoint while it loads, at once": ((Tick(5),), NOW),
    "a new endpoint that traffic proved, a wait later": ((Progress(4),), 14),
    "proven by a canary, a wait later": ((passed(4),), 14),
    "traffic since the canary postpones it": ((passed(4), begun(9)), 19),
    "traffic before the canary does not": ((Progress(3), passed(4)), 14),
    "traffic that ends without output does not": ((passed(4), busy(8), idle(9)), 14),
    "one failure, at once": ((passed(4), failed(17)), 17),
    "a failure that counts against the canary, a wait later": (
        (passed(4), begun(16), failed(17, CanaryFault.EMPTY)),
        27,
    ),
    "a user's failed request, at once": ((passed(4), SERVER), NOW),
    "a user's failed request, before any question, at once": ((Progress(4), SERVER), NOW),
    "a client error, as if nothing had been": (
        (passed(4), RequestFailed(5, RequestFault.CLIENT)),
        14,
    ),
    "an outcome without a meaning, a retry later": ((passed(4), CanaryUnknown(17)), 20),
    "never proven, a retry later": ((failed(3),), 6),
    "never proven, an outcome without a meaning, a retry later": ((CanaryUnknown(3),), 6),
    "not ready, a retry later": ((passed(4), failed(17), failed(20)), 23),
    "not ready by a stall that is over, at once": ((Progress(1), busy(2), Tick(62), idle(70)), NOW),
    "not ready by a stall that is over, a retry after the last question": (
        (passed(1), busy(2), Tick(62), idle(70)),
        4,
    ),
    "not ready by a stall, and then a failure, at once": (
        (passed(1), busy(2), Tick(62), idle(70), failed(75)),
        75,
    ),
    "dead, a retry after the last question": ((passed(4), EngineDied(5)), 7),
    "dead before any question, at once": ((EngineDied(5),), NOW),
    "inside a lease, at its end": ((passed(4), Lease(5, 100)), 100),
    "a new endpoint inside a lease, at its end": ((Lease(5, 100),), 100),
    "a suspicion inside a lease, at its end": ((passed(4), failed(17), Lease(18, 100)), 100),
    "a lease is followed by a question at once": ((passed(4), Lease(5, 8)), 8),
    "unless something was proven after it": ((passed(4), Lease(5, 8), passed(9)), 19),
    "asleep, never": ((passed(4), Sleep(5, asleep=True)), NEVER),
    "asleep with work that stands still, never": (
        (passed(4), busy(5), Sleep(6, asleep=True)),
        NEVER,
    ),
    "awake again, at once": ((passed(4), Sleep(5, asleep=True), Sleep(6, asleep=False)), 6),
    "its port is closed, never": ((Loading(1, Phase.PORT_CLOSED),), NEVER),
    "no model is listed, never": ((failed(1), Loading(2, Phase.NO_MODEL)), NEVER),
    "waiting for the first token, at once": ((Loading(1, Phase.FIRST_TOKEN),), NOW),
    "ready once, whatever phase is told": ((passed(4), Loading(5, Phase.NO_MODEL)), 14),
    "busy, never": ((passed(4), busy(5)), NEVER),
    "busy and suspected, never": ((passed(4), failed(17), busy(18)), NEVER),
    "busy and never asked, never": ((busy(5),), NEVER),
    "load unknown, as if idle": ((passed(4), Load(5, None)), 14),
}


def asked_at(*seen: Evidence, canary: bool = True) -> float:
    """When a canary is due, looks left out: infinity for never."""
    due = next_due(life(*seen, canary=canary), RULES._replace(stall=1e9), now=-1.0)
    return due.at if due.step is Step.ASK else NEVER


@pytest.mark.parametrize(("evidence", "at"), ASKED.values(), ids=ASKED.keys())
def test_a_canary_is_due(evidence: tuple[Evidence, ...], at: float) -> None:
    """Each branch of the pacing, without jitter."""
    assert asked_at(*evidence) == at


@pytest.mark.parametrize("evidence", [(), (Progress(1),), (SERVER,), (EngineDied(1),), (busy(1),)])
def test_without_a_canary_nothing_is_ever_due(evidence: tuple[Evidence, ...]) -> None:
    """Neither a question nor a look."""
    assert next_due(life(*evidence, canary=False), RULES, now=0).at == NEVER


def test_a_second_proof_is_asked_for_at_the_pace_of_retries() -> None:
    """An endpoint on its way to ready does not wait a whole idle time."""
    once = life(passed(4), rules=TWICE)
    assert next_due(once, TWICE, now=4) == Due(7, Step.ASK)
    by_traffic = life(Progress(4), rules=TWICE)
    assert next_due(by_traffic, TWICE, now=4) == Due(NOW, Step.ASK)


def test_a_busy_endpoint_is_looked_at_every_wait() -> None:
    """Work that ends says nothing by itself."""
    assert next_due(life(passed(4), busy(5)), RULES, now=20) == Due(30, Step.LOOK)


def test_an_engine_that_came_back_to_a_queue_of_users_is_asked_all_the_same() -> None:
    """Only a canary takes a death back: without one it would be dead for as long as they last."""
    standing = life(passed(1), EngineDied(5.0), busy(6))
    due = next_due(standing, RULES, now=6.0)
    assert due.step is Step.ASK
    assert due.at <= 6.0 + RULES.retry


def test_a_busy_endpoint_is_looked_at_when_its_stall_is_due() -> None:
    """Whichever comes first."""
    standing = life(passed(4), busy(5))
    assert next_due(standing, RULES, now=60) == Due(65, Step.LOOK)
    slow = RULES._replace(wait=1000)
    assert next_due(standing, slow, now=5) == Due(65, Step.LOOK)


def test_a_question_that_is_due_with_a_look_is_asked() -> None:
    """It brings a look with it."""
    even = RULES._replace(wait=60)
    assert next_due(life(passed(4)), even, now=4) == Due(64, Step.ASK)


def test_an_idle_endpoint_is_looked_at_before_work_that_begins_now_can_stall() -> None:
    """Where the wait is longer than the stall budget, canaries alone come too late."""
    slow = RULES._replace(wait=1000)
    assert next_due(life(passed(4)), slow, now=20) == Due(80, Step.LOOK)
    assert next_due(life(passed(4)), slow, now=950) == Due(1004, Step.ASK)


def test_a_suspected_endpoint_is_asked_at_once_on_top_of_work_too() -> None:
    """What failed before the work came cannot be excused by it."""
    assert next_due(life(passed(4), failed(17), busy(18)), RULES, now=20) == Due(17, Step.ASK)


def test_a_question_on_top_that_is_excused_is_not_asked_again_at_once() -> None:
    """Work that was there before may hold it up: one a wait is enough to hear of an end."""
    wrong = failed(17, CanaryFault.EMPTY)
    standing = life(passed(4), wrong, busy(18), failed(22, sent=19))
    assert standing.failures == 1
    assert on_top_at(standing, RULES) == 22 + RULES.wait


def test_a_users_failed_request_is_asked_about_on_top_of_work() -> None:
    """An engine may fail all that is new while it goes on with what is old."""
    assert on_top_at(life(passed(4), busy(5), SERVER), RULES) == NOW
    assert on_top_at(life(passed(4), busy(5)), RULES) is None


def test_the_next_failed_request_waits_its_turn_once_a_canary_has_answered_for_one() -> None:
    """Users whose requests fail by their own fault bring no flood."""
    cleared = life(passed(4), SERVER, passed(6))
    assert not cleared.suspected
    again = lived(cleared, RequestFailed(7, RequestFault.SERVER))
    assert next_due(again, RULES, now=7) == Due(6 + RULES.wait, Step.ASK)


def test_an_engine_that_calls_itself_ill_again_is_not_held_against_its_users() -> None:
    """That turn comes once, and is asked about after a retry."""
    cleared = life(passed(4), SERVER, passed(6))
    ill = lived(cleared, RequestFailed(7, RequestFault.SERVER), Heard(7.5, well=False))
    assert next_due(ill, RULES, now=8) == Due(6 + RULES.retry, Step.ASK)


def test_the_end_of_a_long_outage_is_seen_late_by_a_tenth_of_it() -> None:
    """A retry at first, a wait at the most."""
    outage = life(passed(4), failed(17), failed(20))
    assert next_due(outage, RULES, now=20) == Due(23, Step.ASK)
    for at, pace in ((49, RULES.retry), (70, 5), (119, 9.9), (500, RULES.wait)):
        assert next_due(lived(outage, failed(at)), RULES, now=at).at == pytest.approx(at + pace)


def test_looks_have_jitter_and_the_look_at_a_stall_has_none() -> None:
    """Requests that come in step with the looks would never be seen to rest."""
    standing = life(passed(4), busy(5))
    assert next_due(standing, RULES, now=20, early=1) == Due(29, Step.LOOK)
    assert next_due(standing, RULES, now=60, early=1) == Due(65, Step.LOOK)


def test_a_stall_that_is_past_needs_no_look_of_its_own() -> None:
    """A look for a moment that is over would be due for ever."""
    standing = life(passed(4), busy(5), Tick(65))
    assert next_due(standing, RULES, now=65) == Due(75, Step.LOOK)


def test_where_no_question_can_be_asked_there_are_still_looks() -> None:
    """For an endpoint whose last canary has not ended."""
    assert next_look(life(passed(4)), RULES, now=20) == Due(80, Step.LOOK)
    assert next_look(life(passed(4), busy(5)), RULES, now=20) == Due(30, Step.LOOK)


@pytest.mark.parametrize(
    ("evidence", "plain", "window"),
    [
        ((passed(4),), 14, 1),
        ((Progress(4),), 14, 1),
        ((passed(4), failed(17), failed(20)), 23, 0.3),
        ((failed(3),), 6, 0.3),
    ],
)
def test_jitter_makes_a_canary_earlier_by_its_window_at_most(
    evidence: tuple[Evidence, ...], plain: float, window: float
) -> None:
    """A tenth of the wait, or of the retry; never later."""
    standing = life(*evidence)
    assert next_due(standing, RULES, now=0, early=0).at == plain
    assert next_due(standing, RULES, now=0, early=0.5).at == pytest.approx(plain - window / 2)
    assert next_due(standing, RULES, now=0, early=1).at == pytest.approx(plain - window)


@given(st.floats(0, 1), st.floats(0, 0.5), st.floats(0.001, 1e6), st.floats(0.001, 1e6))
def test_jitter_is_only_ever_earlier_and_never_before_the_proof(
    early: float, jitter: float, wait: float, deadline: float
) -> None:
    """For every setting that is accepted."""
    rules = RULES._replace(jitter=jitter, wait=wait, deadline=deadline, stall=1e9)
    standing = life(passed(4), rules=rules)
    latest = next_due(standing, rules, now=4).at
    at = next_due(standing, rules, now=4, early=early).at
    assert 4 <= at <= latest == 4 + wait


@pytest.mark.parametrize("evidence", [(passed(4), failed(17)), (passed(4), Lease(5, 100))])
def test_a_suspicion_and_the_end_of_a_lease_have_no_jitter(evidence: tuple[Evidence, ...]) -> None:
    """What is due at once is due at once."""
    standing = life(*evidence)
    early, plain = (next_due(standing, RULES, now=0, early=share) for share in (1.0, 0.0))
    assert early == plain


def test_a_jittered_canary_does_not_come_before_a_leases_end() -> None:
    """Jitter does not reach into a lease."""
    assert next_due(life(passed(4), Lease(5, 13.9)), RULES, now=5, early=1).at == 13.9


def test_the_retry_is_the_shorter_of_wait_and_deadline() -> None:
    """A short wait with a long deadline asks at the pace of the wait."""
    rules = AT_ONCE._replace(wait=1, deadline=3)
    standing = life(passed(4), failed(8), rules=rules)
    assert next_due(standing, rules, now=8) == Due(9, Step.ASK)


def test_nothing_due_is_never_and_not_nan() -> None:
    """Infinity orders; NaN would break the scheduler's heap."""
    due = next_due(life(canary=False), RULES, now=0, early=1)
    assert not math.isnan(due.at)
    assert due.at == NEVER


def test_an_endpoint_that_was_proven_is_not_deaf_any_more() -> None:
    """How it loaded is forgotten with its first token."""
    standing = life(Loading(1.0, Phase.NO_MODEL), passed(2), failed(5), failed(9))
    assert standing.phase is None
    assert next_due(standing, RULES, now=9).at < math.inf


def test_without_a_canary_there_is_nothing_to_look_for() -> None:
    """A look that is never due."""
    assert next_look(life(canary=False), RULES, now=5) == (math.inf, Step.LOOK)


# --- exams ---------------------------------------------------------------------------------------


def examined(standing: Standing, rules: Rules = RULES, *, tokens: int = 24) -> float:
    """When an exam is sent that is wanted 100 s after 5."""
    return next_exam(standing, rules, Exam(since=5.0, wait=100.0, tokens=tokens))


QUIET: dict[str, tuple[tuple[Evidence, ...], float]] = {
    "ready and idle, when it is wanted": ((passed(4),), 105),
    "proven by traffic, likewise": ((Progress(4),), 105),
    "after other canaries, likewise": ((passed(4), passed(90)), 105),
    "in a lease, at its end": ((passed(4), Lease(5, 200)), 200),
    "never proven, never": ((), NEVER),
    "not ready, never": ((passed(4), failed(17), failed(20)), NEVER),
    "a failure that is being confirmed, never": ((passed(4), failed(17)), NEVER),
    "a user's failed request, never": ((passed(4), SERVER), NEVER),
    "on top of work, never": ((passed(4), busy(8)), NEVER),
    "after work, when it is wanted": ((passed(4), busy(8), idle(9)), 105),
    "asleep, never": ((passed(4), Sleep(5, asleep=True)), NEVER),
    "a dead engine, never": ((passed(4), EngineDied(5)), NEVER),
}


@pytest.mark.parametrize("name", QUIET)
def test_an_exam_is_sent_when_nothing_else_is_to_be_done(name: str) -> None:
    """It finds nothing that a canary would not find sooner, but for what is said."""
    told, at = QUIET[name]
    assert examined(life(*told)) == at


def test_an_exam_comes_early_by_the_jitter() -> None:
    """So that a fleet spreads out; not more."""
    rules = RULES._replace(jitter=0.2)
    exam = Exam(since=5.0, wait=100.0, tokens=24)
    assert next_exam(life(passed(4)), rules, exam, early=1.0) == 85
    assert next_exam(life(passed(4)), rules, exam, early=0.5) == 95


def test_an_exam_waits_until_all_its_tokens_are_paid_for() -> None:
    """From the routine purse; one that costs more than the purse holds, for a full one."""
    rules = RULES._replace(token_budget=1000)
    spent = life(passed(4)).spent.paid(rules, now=5.0, canaries=1, tokens=100, urgent=False)
    standing = life(passed(4))._replace(spent=spent)
    per_token = 86_400 / 700
    assert examined(standing, rules, tokens=24) == pytest.approx(5 + 24 * per_token)
    assert examined(standing, rules, tokens=500) == pytest.approx(5 + 100 * per_token)


def test_an_endpoint_without_canaries_has_no_exams() -> None:
    """It is declared, and nothing is sent to it."""
    declared = Standing.of(Registered(0.0, canary=False))
    assert examined(declared.after(Progress(3), RULES)) == NEVER


@pytest.mark.parametrize(
    ("standing", "hurries"),
    [
        (life(passed(1)), True),
        (life(), False),  # it is asked soon anyway
        (life(passed(1), canary=False), False),
        (life(passed(1), failed(14), rules=AT_ONCE), False),
        (life(passed(1), RequestFailed(2, RequestFault.SERVER)), False),
        (life(passed(1), busy(2)), False),
        (life(passed(1), Sleep(2, asleep=True)), False),
        (life(passed(1), Lease(2, 30)), False),
        (life(passed(1), Lease(2, 20)), True),
    ],
)
def test_a_hint_brings_the_next_question_forward_where_nothing_else_says_when(
    standing: Standing, hurries: bool
) -> None:
    """Not on top of work, in a lease or asleep; what is in doubt has a pace of its own."""
    assert may_hurry(standing, RULES, now=20) is hurries


def test_a_hint_brings_nothing_forward_that_cannot_be_paid() -> None:
    """A budget a day has the last word."""
    frugal = RULES._replace(budget=2)
    spent = life(passed(1), passed(2), passed(3), rules=frugal)
    assert not may_hurry(spent, frugal, now=4)
    assert may_hurry(spent, frugal, now=3 * 86400)
