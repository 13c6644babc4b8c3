"""A lease excuses silence and nothing else; only a canary takes back a death."""

from __future__ import annotations

import pytest

from serinus.core.evidence import CanaryFault, EngineDied, Evidence, Lease, Progress, Tick
from serinus.core.status import Reason
from tests.core.lives import (
    AT_ONCE,
    RULES,
    SILENCES,
    WRONG_ANSWERS,
    busy,
    failed,
    life,
    lived,
    passed,
    seen,
)

LEASE = Lease(10, 100, "weights")


@pytest.mark.parametrize("fault", SILENCES)
@pytest.mark.parametrize(
    ("sent", "at"), [(20, 30), (5, 15), (99, 110)], ids=["inside", "into it", "out of it"]
)
def test_a_lease_excuses_silence_that_touches_it(
    fault: CanaryFault, sent: float, at: float
) -> None:
    """A paused engine does not answer, and was announced not to."""
    standing = life(passed(1), LEASE, failed(at, fault, sent=sent), rules=AT_ONCE)
    assert standing.verdict.ready
    assert standing.failures == 0


def test_silence_after_a_lease_is_silence() -> None:
    """At its very end the lease is over."""
    assert not life(passed(1), LEASE, failed(103, sent=100), rules=AT_ONCE).verdict.ready


@pytest.mark.parametrize("fault", WRONG_ANSWERS)
def test_a_lease_excuses_no_wrong_answer(fault: CanaryFault) -> None:
    """A pause is quiet; errors are errors."""
    assert not life(passed(1), LEASE, failed(30, fault), rules=AT_ONCE).verdict.ready


def test_a_lease_covers_until_its_end_and_no_longer() -> None:
    """The end itself is outside."""
    leased = life(LEASE)
    assert leased.leased(99.9)
    assert not leased.leased(100)


def test_a_lease_that_is_ended_early_excuses_nothing_more() -> None:
    """One in the past ends it."""
    ended = life(passed(1), LEASE, Lease(20, 20))
    assert not ended.leased(20)
    assert not lived(ended, failed(24, sent=21), rules=AT_ONCE).verdict.ready


def test_work_in_flight_has_its_whole_stall_budget_after_a_lease() -> None:
    """Silence inside the lease does not count towards it."""
    paused = life(passed(1), busy(5), LEASE)
    assert paused.stalls_at(RULES) == 160
    assert lived(paused, Tick(159.9)).verdict.ready
    assert seen(lived(paused, Tick(160))) == ("notready", Reason.STALLED)


def test_a_hang_has_its_whole_budget_after_a_lease() -> None:
    """The engine was not asked meanwhile: nobody is restarted the moment a lease ends."""
    hung = life(passed(1), failed(5), rules=AT_ONCE)
    assert hung.hangs_at(RULES) == 35
    assert lived(hung, LEASE, rules=AT_ONCE).hangs_at(RULES) == 130


@pytest.mark.parametrize(
    "evidence",
    [Progress(60), busy(60, flow_at=60), failed(60), Tick(600), Lease(60, 100), Lease(60, 60)],
)
@pytest.mark.parametrize("canary", [True, False])
def test_neither_time_nor_any_output_takes_back_a_death(evidence: Evidence, canary: bool) -> None:
    """Output that was in a queue can come out of a dead engine's front."""
    dead = life(passed(1), EngineDied(50), evidence, canary=canary)
    assert seen(dead) == ("notready", Reason.ENGINE_DIED)


def test_a_passed_canary_takes_back_a_death() -> None:
    """The engine came back."""
    back = life(passed(1), EngineDied(50, "exit code 1"), passed(60))
    assert back.died is None
    assert seen(back) == ("ready", Reason.CANARY)


@pytest.mark.parametrize("canary", [True, False])
def test_an_answer_that_begins_later_takes_back_a_death(canary: bool) -> None:
    """The engine came back to users, behind whom a canary may have to wait for long."""
    dead = life(passed(1), EngineDied(50), canary=canary)
    assert not lived(dead, Progress(53, began_at=53)).verdict.ready
    assert not lived(dead, Progress(60, began_at=49)).verdict.ready
    back = lived(dead, Progress(53.1, began_at=53.1))
    assert back.died is None
    assert back.verdict.ready


def test_the_verdict_keeps_the_engines_last_words() -> None:
    """The evidence of a death is the death, whatever came after."""
    dead = life(passed(1), EngineDied(50, "exit code 1"), Tick(60), failed(70))
    assert dead.verdict.evidence == EngineDied(50, "exit code 1")
    assert dead.verdict.since == 50
