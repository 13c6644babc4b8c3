"""One failure is a suspicion: who is suspected, and what clears it."""

from __future__ import annotations

import pytest

from serinus.core.evidence import CanaryFault, CanaryUnknown, Evidence, RequestFailed, RequestFault
from tests.core.lives import AT_ONCE, begun, failed, life, lived, passed

SERVER = RequestFailed(5.0, RequestFault.SERVER)


@pytest.mark.parametrize("evidence", [SERVER, CanaryUnknown(5.0), failed(5)])
def test_a_doubt_about_a_ready_endpoint_is_a_suspicion(evidence: Evidence) -> None:
    """A second question is owed."""
    assert life(passed(1), evidence).suspected


@pytest.mark.parametrize("proof", [passed(6), begun(6)])
@pytest.mark.parametrize("doubt", [SERVER, CanaryUnknown(5.0), failed(5)])
def test_a_proof_clears_a_suspicion(doubt: Evidence, proof: Evidence) -> None:
    """Real output answers every question."""
    assert not life(passed(1), doubt, proof).suspected


def test_an_endpoint_that_is_not_ready_is_not_suspected_any_more() -> None:
    """It is asked at its own pace; there is nobody left to accuse."""
    condemned = life(passed(1), failed(14), rules=AT_ONCE)
    assert condemned.failures == 1
    assert not condemned.suspected
    assert not life(SERVER).suspected


def test_the_answer_to_the_second_question_settles_it() -> None:
    """The question that was owed has been asked, whatever came of it."""
    settled = lived(life(passed(1), SERVER), failed(6, CanaryFault.RAISED))
    assert not settled.suspect
    assert settled.failures == 1


def test_a_client_error_does_not_clear_a_suspicion() -> None:
    """It says nothing about the engine, either way."""
    assert life(passed(1), SERVER, RequestFailed(6, RequestFault.CLIENT)).suspected


def test_an_outcome_without_a_meaning_counts_for_nothing() -> None:
    """Neither failures nor proofs change; only the question stays open."""
    before = life(passed(1), failed(14))
    after = lived(before, CanaryUnknown(20))
    assert (after.failures, after.proven_at, after.fault) == (1, 1, before.fault)
    assert after.asked_at == 20
