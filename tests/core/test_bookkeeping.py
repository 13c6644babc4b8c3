"""Since when, by what evidence, and when silence counts as a hang."""

from __future__ import annotations

import pytest

from serinus.core.evidence import (
    CanaryFault,
    EngineDied,
    Evidence,
    Loading,
    Phase,
    Progress,
    Registered,
    Tick,
)
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
)


def test_since_is_the_moment_of_the_status_and_not_of_the_reason() -> None:
    """A starting engine is not ready since its registration, through all its phases."""
    standing = life(Loading(5, Phase.PORT_CLOSED), Loading(9, Phase.NO_MODEL), failed(20))
    assert standing.verdict.since == 0
    assert standing.verdict.reason is Reason.CANARY_TIMEOUT


def test_the_evidence_is_what_decided() -> None:
    """Ready: the proof; condemned: the failure that reached the threshold."""
    last = failed(17)
    assert life(passed(1), failed(14), last).verdict.evidence is last
    assert life(passed(1), failed(14), last).verdict.since == 17
    proof = Progress(20)
    assert life(passed(1), failed(14), last, proof).verdict.evidence is proof
    assert life().verdict.evidence == Registered(0.0, canary=True)


def test_a_life_begins_with_nothing() -> None:
    """No failure, no proof, no suspicion, nothing asked, nothing known."""
    new = life()
    assert (new.failures, new.successes, new.canary_faults) == (0, 0, 0)
    assert (new.suspect, new.proven_by_canary) == (False, False)
    nothing = (new.fault, new.proven_at, new.progress_at, new.asked_at, new.pending, new.hung_since)
    assert set(nothing) == {None}


def test_a_verdict_that_stays_is_the_same_verdict() -> None:
    """More of the same does not move since, nor the evidence."""
    ready = life(passed(1))
    assert lived(ready, passed(11), Progress(12), Tick(13)).verdict is ready.verdict
    down = life(passed(1), failed(14), failed(17))
    assert lived(down, failed(20), failed(23)).verdict is down.verdict


def test_what_was_seen_last_is_remembered() -> None:
    """Proofs, progress and questions have their own times."""
    standing = life(passed(1), Progress(5), failed(14))
    assert (standing.proven_at, standing.progress_at, standing.asked_at) == (5, 5, 14)
    assert not standing.proven_by_canary
    assert lived(standing, passed(20)).proven_by_canary
    assert life(Progress(5)).asked_at is None


@pytest.mark.parametrize("fault", SILENCES)
def test_proven_silence_of_an_endpoint_that_once_served_is_a_hang(fault: CanaryFault) -> None:
    """Its budget begins when it turns."""
    hung = life(passed(1), failed(14, fault), rules=AT_ONCE)
    assert hung.hung_since == 14
    assert hung.hangs_at(RULES) == 44
    assert lived(hung, failed(20, fault), rules=AT_ONCE).hung_since == 14


def test_a_stall_is_a_hang() -> None:
    """Busy silence counts as idle silence does."""
    assert life(passed(1), busy(2), Tick(62)).hung_since == 62


@pytest.mark.parametrize("fault", WRONG_ANSWERS)
def test_an_endpoint_that_answers_wrongly_does_not_hang(fault: CanaryFault) -> None:
    """A restart is asked for silence only."""
    assert life(passed(1), failed(14, fault), rules=AT_ONCE).hung_since is None


@pytest.mark.parametrize("fault", CanaryFault)
def test_an_endpoint_that_was_never_proven_does_not_hang(fault: CanaryFault) -> None:
    """It may be loading, for hours."""
    never = life(failed(3, fault), failed(600, fault), failed(7200, fault), rules=AT_ONCE)
    assert never.hangs_at(RULES) is None


def test_a_suspicion_is_not_a_hang() -> None:
    """Liveness waits for the confirmation."""
    assert life(passed(1), failed(14)).hung_since is None


@pytest.mark.parametrize("proof", [passed(20), begun(20), Progress(20)])
def test_a_proof_ends_a_hang(proof: Evidence) -> None:
    """It answered."""
    assert life(passed(1), failed(14), proof, rules=AT_ONCE).hung_since is None


def test_a_wrong_answer_ends_a_hang_too() -> None:
    """It is broken, and it is not silent."""
    hung = life(passed(1), failed(14), rules=AT_ONCE)
    assert lived(hung, failed(20, CanaryFault.ERROR_ITEM), rules=AT_ONCE).hung_since is None
    assert lived(hung, EngineDied(20), rules=AT_ONCE).hung_since is None


def test_a_first_proof_of_several_begins_the_hangs_budget_anew() -> None:
    """Not ready still, and silent since the proof at the earliest."""
    rules = AT_ONCE._replace(success_threshold=2)
    hung = life(passed(1), passed(2), failed(14), rules=rules)
    assert hung.hung_since == 14
    assert lived(hung, passed(20), rules=rules).hung_since == 20


def test_a_hang_goes_on_through_the_end_of_the_work() -> None:
    """Users who give up are no proof."""
    assert life(passed(1), busy(2), Tick(62), idle(70), failed(75)).hung_since == 62
