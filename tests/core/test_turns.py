"""Ranks of one engine take turns, so that all of them cost what one would."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from serinus.core.evidence import Progress, SiblingFailed
from serinus.core.pacing import Step, next_due
from serinus.core.rules import Rules
from serinus.core.verdict import Standing
from tests.core.lives import RULES, failed, life, lived, passed


def turns(rank: int, ranks: int) -> Rules:
    """The rules of a rank whose group began at 0 s."""
    return RULES._replace(ranks=ranks, turn=rank * RULES.wait, jitter=0.0)


def due(standing: Standing, rules: Rules) -> float:
    """When it is asked next."""
    asked = next_due(standing, rules, now=1e6)
    assert asked.step is Step.ASK
    return asked.at


def test_an_idle_rank_is_asked_once_in_as_many_waits_as_there_are_ranks() -> None:
    """Whatever its phase, it is asked in its own turns."""
    proven = life(passed(20.1))
    assert due(proven, turns(2, 4)) == 60.0
    assert due(proven, turns(1, 4)) == 50.0
    assert due(proven, turns(3, 4)) == 70.0  # its turn at 30 s is less than a wait away
    assert due(proven, turns(0, 1)) == 30.1


def test_no_turn_is_taken_within_a_wait_of_a_proof() -> None:
    """Real output postpones a rank's canary as it does that of any endpoint."""
    assert due(life(passed(1), Progress(15)), turns(2, 4)) == 60.0
    assert due(life(passed(1), Progress(10)), turns(2, 4)) == 20.0


def test_a_suspicion_waits_for_no_turn() -> None:
    """It is asked about at once."""
    suspected = life(passed(1), failed(14))
    assert due(suspected, turns(2, 4)) == 14


def test_a_rank_is_asked_when_another_one_fell() -> None:
    """The same may be wrong with it; when it passes, it waits for its turn again."""
    rules = turns(2, 4)
    called = life(passed(20.1), SiblingFailed(30.0, "rank 1"))
    assert called.suspected
    assert due(called, rules) <= 30.0
    assert called.verdict.ready
    assert due(lived(called, passed(30.1)), rules) == 60.0


@given(st.integers(2, 9), st.integers(0, 8), st.floats(0, 1000))
def test_a_turn_is_at_least_a_wait_away_and_within_the_bound(
    ranks: int, rank: int, proven_at: float
) -> None:
    """Whatever the phase."""
    rules = turns(rank % ranks, ranks)
    at = due(life(passed(proven_at)), rules) - proven_at
    assert rules.wait - 1e-6 <= at <= rules.idle + 1e-6


@given(st.integers(2, 9))
def test_while_all_are_idle_there_is_one_question_in_every_wait(ranks: int) -> None:
    """So that what is wrong with the whole engine is seen as soon as without ranks."""
    standings = [life(passed(0.5)) for _ in range(ranks)]
    asked = []
    for _ in range(5 * ranks):
        at, rank = min((due(one, turns(n, ranks)), n) for n, one in enumerate(standings))
        asked.append(at)
        standings[rank] = lived(standings[rank], passed(at + 0.01))
    steady = asked[2 * ranks :]
    waits = [after - before for before, after in pairwise(steady)]
    assert all(abs(wait - RULES.wait) < 1e-6 for wait in waits)


@given(st.floats(0, 1000), st.floats(0, 1))
def test_jitter_makes_a_turn_earlier_and_never_later(proven_at: float, early: float) -> None:
    """By a share of the wait, not of the round."""
    rules = turns(1, 4)._replace(jitter=0.1)
    standing = life(passed(proven_at))
    plain = next_due(standing, rules, now=1e6).at
    jittered = next_due(standing, rules, now=1e6, early=early).at
    assert plain - 0.1 * rules.wait - 1e-6 <= jittered <= plain


def test_a_budget_stretches_the_turns_too() -> None:
    """Each rank has its share of it."""
    rules = turns(1, 4)._replace(budget=100)
    standing = life(passed(0.5), rules=rules)
    for at in range(1, 11):
        standing = standing.after(passed(float(at)), rules)
    assert due(standing, rules) > 10 + 4 * rules.wait
