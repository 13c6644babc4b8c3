"""What canaries may cost in a day: the bound, the stretching, the reserve, the floor."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serinus.core.budget import DAY, LEAST, Purse, Spending, affordable_at, stretched
from serinus.core.evidence import (
    CanaryFault,
    CanaryPassed,
    CanaryUnknown,
    Progress,
    Registered,
    RequestFailed,
    RequestFault,
    Spent,
)
from serinus.core.pacing import Due, Step, next_due
from serinus.core.verdict import Standing
from tests.core.lives import AT_ONCE, RULES, busy, failed, life, lived, passed

BUDGET = 1000
BOUND = RULES._replace(budget=BUDGET)
TOKENS = RULES._replace(token_budget=BUDGET)
FLOOR = DAY / (0.7 * BUDGET)
FULL = Spending()


def spend(count: int, at: float = 0.0, *, urgent: bool = False, tokens: int = 1) -> Spending:
    """Spend at one moment."""
    spent = FULL
    rules = BOUND._replace(token_budget=BUDGET)
    for _ in range(count):
        spent = spent.paid(rules, now=at, canaries=1, tokens=tokens, urgent=urgent)
    return spent


# --- the purse -----------------------------------------------------------------------------------


def test_a_purse_fills_at_an_even_pace_and_no_more_than_full() -> None:
    """Seven tenths of the budget in a day, and one tenth for the reserve."""
    spent = Purse(100, 100, 50.0)
    later = spent.filled(BUDGET, 50 + DAY / 20)
    assert later.routine == pytest.approx(65)
    assert later.reserve == pytest.approx(95)
    assert later.at == 50 + DAY / 20
    assert spent.filled(BUDGET, 50 + 2 * DAY)[:2] == (0, 0)
    assert spent.filled(BUDGET, 50 + 0.5 * DAY)[:2] == (0, 50)


def test_a_clock_that_stands_fills_nothing() -> None:
    """Nor does evidence of before take anything away."""
    assert Purse(10, 5, 100.0).filled(BUDGET, 40.0)[:2] == (10, 5)


def test_the_reserve_pays_first_for_what_is_urgent_and_never_for_routine() -> None:
    """One tenth of the budget each."""
    assert spend(10).of_canaries == Purse(10, 0, 0)
    assert spend(10, urgent=True).of_canaries == Purse(0, 10, 0)
    assert spend(100, urgent=True).of_canaries == Purse(0, 100, 0)
    assert spend(101, urgent=True).of_canaries == Purse(1, 100, 0)


def test_what_is_spent_is_counted_with_and_without_a_budget() -> None:
    """The purses are of the budgets that there are."""
    paid = FULL.paid(RULES, now=5, canaries=2, tokens=7, urgent=False)
    assert paid == Spending(2, 7)
    again = paid.paid(TOKENS, now=5, canaries=1, tokens=9, urgent=True)
    assert again == Spending(3, 16, of_tokens=Purse(0, 9, 5))
    assert again.paid(BOUND, now=6, canaries=3, tokens=9, urgent=False) == Spending(
        6, 25, Purse(3, 0, 6), Purse(0, 9, 5)
    )


def test_a_canary_has_a_price() -> None:
    """In tokens, on the average; never less than one."""
    assert FULL.price == 1
    assert Spending(4, 0).price == 1
    assert Spending(4, 10).price == 2.5


# --- when the next question can be paid for -------------------------------------------------------


def test_without_a_budget_there_is_always_money() -> None:
    """Whatever was spent."""
    assert affordable_at(spend(10_000), RULES, urgent=False) == float("-inf")
    assert stretched(spend(10_000), RULES, now=0) == RULES.wait


def test_a_full_purse_pays_at_once_and_an_empty_one_when_it_has_filled_for_one() -> None:
    """The last of its hundred is paid for too."""
    assert affordable_at(FULL, BOUND, urgent=False) < 0
    assert affordable_at(spend(99, at=7), BOUND, urgent=False) == pytest.approx(7)
    assert affordable_at(spend(100, at=7), BOUND, urgent=False) == pytest.approx(7 + FLOOR)
    assert affordable_at(spend(102, at=7), BOUND, urgent=False) == pytest.approx(7 + 3 * FLOOR)


def test_what_is_urgent_is_paid_from_either_purse() -> None:
    """By the one that can first; the reserve fills at a seventh of the pace."""
    assert affordable_at(spend(150, at=7), BOUND, urgent=True) < 7
    assert affordable_at(spend(150, at=7, urgent=True), BOUND, urgent=True) < 7
    assert affordable_at(spend(150, at=7, urgent=True), BOUND, urgent=False) < 7
    both = Spending(of_canaries=Purse(110, 100, 7))
    assert affordable_at(both, BOUND, urgent=True) == pytest.approx(7 + 7 * FLOOR)
    assert affordable_at(both, BOUND, urgent=False) == pytest.approx(7 + 11 * FLOOR)
    routine = Spending(of_canaries=Purse(100, 110, 7))
    assert affordable_at(routine, BOUND, urgent=True) == pytest.approx(7 + FLOOR)


def test_of_two_budgets_the_one_that_is_spent_decides() -> None:
    """Tokens run out before canaries where a canary costs several."""
    both = BOUND._replace(token_budget=BUDGET)
    spent = spend(30, tokens=4)
    assert affordable_at(spent, BOUND, urgent=False) < 0
    assert affordable_at(spent, both, urgent=False) == pytest.approx(21 * FLOOR)
    assert stretched(spent, both, now=0) == pytest.approx(4 * FLOOR)
    assert stretched(spent, BOUND, now=0) == pytest.approx(10 + (FLOOR - 10) * 0.3)


@pytest.mark.parametrize(
    ("count", "share"), [(0, 0.0), (25, 0.25), (50, 0.5), (100, 1.0), (150, 1.0)]
)
def test_the_wait_stretches_as_the_purse_empties(count: int, share: float) -> None:
    """From the configured wait to the floor, and never beyond it."""
    for rules in (BOUND, TOKENS):
        expected = rules.wait + (FLOOR - rules.wait) * share
        assert stretched(spend(count), rules, now=0) == pytest.approx(expected)


def test_a_budget_that_is_enough_stretches_nothing() -> None:
    """One canary every 10 s is 8,640 a day: with a margin it is never felt."""
    enough = RULES._replace(budget=13_000)
    assert stretched(spend(5000), enough, now=0) == RULES.wait


def test_the_smallest_budget_still_asks_every_21_minutes() -> None:
    """What the settings promise."""
    least = RULES._replace(budget=LEAST)
    assert 1200 < stretched(spend(10_000), least, now=0) <= 21 * 60


# --- in the life of an endpoint -------------------------------------------------------------------


def test_a_purse_holds_one_question_at_least() -> None:
    """However small a budget is tried on a trace."""
    tiny = RULES._replace(budget=5)
    assert affordable_at(FULL, tiny, urgent=False) == 0
    spent = FULL.paid(tiny, now=0, canaries=1, tokens=1, urgent=True)
    assert spent.of_canaries == Purse(0, 1, 0)
    assert spent.of_canaries.emptiness(5, 0) == 0


def test_a_budget_makes_the_next_canary_later() -> None:
    """Counted from the last proof, as ever."""
    drained = life(passed(1))._replace(spent=spend(50, at=1))
    expected = 1 + RULES.wait + (FLOOR - RULES.wait) * 0.5
    assert next_due(drained, BOUND, now=1).at == pytest.approx(min(expected, 61))
    due = next_due(drained, BOUND._replace(stall=1e6), now=1)
    assert due.step is Step.ASK
    assert due.at == pytest.approx(expected)
    proven = lived(drained, Progress(21), rules=BOUND)
    later = next_due(proven, BOUND._replace(stall=1e6), now=21).at
    assert later == pytest.approx(21 + stretched(drained.spent, BOUND, now=21))


def test_a_new_endpoint_that_is_proven_by_traffic_waits_likewise() -> None:
    """It was never asked."""
    fresh = lived(life(), Progress(5))._replace(spent=spend(100, at=5))
    due = next_due(fresh, BOUND._replace(stall=1e6), now=5)
    assert due.at == pytest.approx(5 + FLOOR)


def test_a_suspicion_is_asked_about_at_once_from_the_reserve() -> None:
    """However empty the routine purse is."""
    suspected = life(passed(1), failed(17))._replace(spent=spend(100, at=17))
    assert next_due(suspected, BOUND, now=17) == Due(17, Step.ASK)
    spent = Spending(of_canaries=Purse(100, 100, 17))
    broke = suspected._replace(spent=spent)
    assert next_due(broke, BOUND._replace(stall=1e6), now=17).at == pytest.approx(17 + FLOOR)


def test_a_doubt_about_work_is_asked_about_if_there_is_anything_left() -> None:
    """It is urgent."""
    rules = BOUND._replace(doubt=5.0, stall=1e6, wait=1000)
    doubting = life(passed(1), busy(5))
    assert next_due(doubting._replace(spent=spend(100, at=5)), rules, now=5) == Due(10, Step.ASK)
    broke = doubting._replace(spent=Spending(of_canaries=Purse(100, 100, 5)))
    assert next_due(broke, rules, now=5).at == pytest.approx(5 + FLOOR)


@pytest.mark.parametrize(
    ("standing", "urgent"),
    [
        (life(), True),
        (life(passed(1)), False),
        (life(passed(1), busy(2)), True),
        (life(passed(1), failed(5)), True),
        (life(passed(1), RequestFailed(5, RequestFault.SERVER)), True),
        (life(passed(1), failed(5), rules=AT_ONCE), True),
    ],
)
def test_what_is_urgent(standing: Standing, urgent: bool) -> None:
    """Everything but the routine question to an idle endpoint that is well."""
    assert standing.urgent is urgent
    paid = lived(standing, passed(20), rules=BOUND).spent.of_canaries
    assert (paid.reserve, paid.routine) == ((1, 0) if urgent else (0, 1))


@pytest.mark.parametrize("fault", CanaryFault)
def test_a_failed_canary_costs_if_it_reached_anybody(fault: CanaryFault) -> None:
    """A refused connection costs nothing, nor does a question that was not sent."""
    spent = life(failed(5, fault)).spent
    reached = fault not in {CanaryFault.REFUSED, CanaryFault.STUCK}
    assert (spent.canaries, spent.tokens) == ((1, 1) if reached else (0, 0))


def test_every_question_is_counted() -> None:
    """Also one without an outcome, and those that are told of by their cost alone."""
    standing = life(CanaryPassed(1, 0.1, 0.1, tokens=3), CanaryUnknown(2), rules=BOUND)
    assert standing.spent[:2] == (2, 4)
    more = lived(standing, Spent(3, canaries=2, tokens=32), Spent(4, urgent=True), rules=BOUND)
    assert more.spent[:2] == (5, 36)
    before, after = standing.spent.of_canaries, more.spent.of_canaries
    assert after.routine == pytest.approx(before.routine + 2 - 2 * 0.7 * BUDGET / DAY, abs=0.02)
    assert after.reserve > before.reserve
    assert more.verdict == standing.verdict
    assert more.asked_at == standing.asked_at


def test_a_cost_says_what_it_is() -> None:
    """For a trace."""
    assert str(Spent(3, canaries=2, tokens=32)) == "2 question(s) besides, of 32 token(s)"


def test_a_new_life_of_the_engine_is_no_new_budget() -> None:
    """An engine that crashes in a loop is asked no more for it."""
    standing = life(passed(1), Registered(50, canary=True), rules=BOUND)
    assert standing.spent.canaries == 1
    assert standing.spent.of_canaries.reserve == 1


def test_defaults_are_without_a_bound() -> None:
    """As the reference has it."""
    assert (RULES.budget, RULES.token_budget) == (0, 0)


@settings(max_examples=60, deadline=None)
@given(
    budget=st.integers(LEAST, 20_000),
    wait=st.floats(0.5, 600),
    steps=st.lists(
        st.tuples(st.sampled_from(["good", "bad", "quiet"]), st.floats(0, 5000)), max_size=40
    ),
)
def test_no_day_costs_more_than_the_budget(
    budget: int, wait: float, steps: list[tuple[str, float]]
) -> None:
    """Wherever it begins, whatever happens, with the pace of a manager that asks when it is due."""
    rules = RULES._replace(budget=budget, wait=wait, stall=1e9)
    standing, now = life(rules=rules), 0.0
    asked: list[float] = []
    for kind, seconds in (*steps, ("good", DAY / 4)):
        until = now + seconds
        while True:
            due = next_due(standing, rules, now=now)
            if due.at > until or len(asked) > 3 * budget:
                break
            now = max(now, due.at)
            if due.step is Step.ASK:
                asked.append(now)
                outcome = passed(now) if kind == "good" else failed(now, sent=now)
                standing = lived(standing, outcome, rules=rules)
        now = until
        if kind == "quiet":
            standing = lived(standing, Progress(now), rules=rules)
    for first, begin in enumerate(asked):
        assert sum(at < begin + DAY for at in asked[first:]) <= budget + 1
