"""The table of verdicts, line by line, in its order."""

from __future__ import annotations

import pytest

from serinus.core.budget import Spending
from serinus.core.evidence import (
    CanaryFault,
    EngineDied,
    Evidence,
    Lease,
    Load,
    Loading,
    Phase,
    Progress,
    Registered,
    RequestFailed,
    RequestFault,
    Tick,
    Witness,
)
from serinus.core.rules import Rules
from serinus.core.status import Reason
from serinus.core.verdict import Standing
from tests.core.lives import AT_ONCE, RULES, begun, busy, failed, idle, life, lived, passed, seen

READY, NOTREADY = "ready", "notready"
DEAD = EngineDied(50.0, "gone")
FAULTS = {
    CanaryFault.TIMEOUT: Reason.CANARY_TIMEOUT,
    CanaryFault.ERROR_ITEM: Reason.CANARY_ERROR,
    CanaryFault.EMPTY: Reason.CANARY_EMPTY,
    CanaryFault.RAISED: Reason.CANARY_RAISED,
    CanaryFault.REFUSED: Reason.CANARY_REFUSED,
    CanaryFault.DROPPED: Reason.CANARY_DROPPED,
    CanaryFault.WRONG_SHAPE: Reason.CANARY_WRONG_SHAPE,
    CanaryFault.STUCK: Reason.CANARY_STUCK,
}

TABLE: dict[str, tuple[tuple[Evidence, ...], tuple[str, Reason]]] = {
    "1: died": ((passed(1), DEAD), (NOTREADY, Reason.ENGINE_DIED)),
    "1 before 3: died and never proven": ((DEAD,), (NOTREADY, Reason.ENGINE_DIED)),
    "1 before 4: died and condemned": (
        (passed(1), failed(11), failed(14), DEAD),
        (NOTREADY, Reason.ENGINE_DIED),
    ),
    "1 before 6: died and stalled": (
        (passed(1), busy(2), DEAD, Tick(62)),
        (NOTREADY, Reason.ENGINE_DIED),
    ),
    "1 before 7: died, though traffic goes on": (
        (passed(1), DEAD, Progress(51)),
        (NOTREADY, Reason.ENGINE_DIED),
    ),
    "3: never proven, nothing seen": ((), (NOTREADY, Reason.UNPROVEN)),
    "3: never proven, only load seen": ((busy(1), Tick(500)), (NOTREADY, Reason.UNPROVEN)),
    "3: never proven, one failure says why": (
        (failed(3),),
        (NOTREADY, Reason.CANARY_TIMEOUT),
    ),
    "3: never proven, the last failure says why": (
        (failed(3), failed(6, CanaryFault.REFUSED)),
        (NOTREADY, Reason.CANARY_REFUSED),
    ),
    "3: never proven, loading": (
        (Loading(1, Phase.NO_MODEL),),
        (NOTREADY, Reason.NO_MODEL),
    ),
    "3: loading after a failure": (
        (failed(3, CanaryFault.REFUSED), Loading(4, Phase.PORT_CLOSED)),
        (NOTREADY, Reason.PORT_CLOSED),
    ),
    "3: a failure after loading": (
        (Loading(4, Phase.FIRST_TOKEN), failed(5, CanaryFault.EMPTY)),
        (NOTREADY, Reason.CANARY_EMPTY),
    ),
    "4: failures reached the threshold": (
        (passed(1), failed(14), failed(17)),
        (NOTREADY, Reason.CANARY_TIMEOUT),
    ),
    "4: the last of them says why": (
        (passed(1), failed(14), failed(15, CanaryFault.RAISED)),
        (NOTREADY, Reason.CANARY_RAISED),
    ),
    "4: more failures change the reason": (
        (passed(1), failed(14), failed(17), failed(18, CanaryFault.REFUSED)),
        (NOTREADY, Reason.CANARY_REFUSED),
    ),
    "4: a handler that does not end needs no second question": (
        (passed(1), failed(14, CanaryFault.STUCK)),
        (NOTREADY, Reason.CANARY_STUCK),
    ),
    "5: not ready stays as it was until a proof": (
        (passed(1), busy(2), Tick(62), idle(63), Tick(64)),
        (NOTREADY, Reason.STALLED),
    ),
    "6: work in flight and no flow": ((passed(1), busy(2), Tick(62)), (NOTREADY, Reason.STALLED)),
    "6: a beginning is not flow": (
        (passed(1), busy(2), begun(61), Tick(62)),
        (NOTREADY, Reason.STALLED),
    ),
    "7: proven by a canary": ((passed(1),), (READY, Reason.CANARY)),
    "7: proven by traffic": ((Progress(1),), (READY, Reason.TRAFFIC)),
    "7: proven by the engine's counters": (
        (Progress(1, Witness.COUNTERS),),
        (READY, Reason.TRAFFIC),
    ),
    "7: one failure is a suspicion": ((passed(1), failed(14)), (READY, Reason.CANARY)),
    "7: loading is only for the start": (
        (passed(1), Loading(2, Phase.PORT_CLOSED)),
        (READY, Reason.CANARY),
    ),
    "7: the reason is of the moment when it became ready": (
        (passed(1), Progress(2)),
        (READY, Reason.CANARY),
    ),
}


@pytest.mark.parametrize(("evidence", "verdict"), TABLE.values(), ids=TABLE.keys())
def test_the_first_line_that_applies_decides(
    evidence: tuple[Evidence, ...], verdict: tuple[str, Reason]
) -> None:
    """The docstring's table, with an example or more for each line."""
    assert seen(life(*evidence)) == verdict


@pytest.mark.parametrize("evidence", [(), (Progress(1),), (busy(1), Tick(900)), (failed(3),)])
def test_an_endpoint_without_a_canary_is_ready_as_declared(evidence: tuple[Evidence, ...]) -> None:
    """Line 2: nothing but death is held against it."""
    assert seen(life(*evidence, canary=False)) == (READY, Reason.DECLARED)


def test_death_comes_before_the_lack_of_a_canary() -> None:
    """Line 1 before line 2."""
    assert seen(life(DEAD, canary=False)) == (NOTREADY, Reason.ENGINE_DIED)


@pytest.mark.parametrize(("fault", "reason"), FAULTS.items())
def test_every_fault_has_its_own_reason(fault: CanaryFault, reason: Reason) -> None:
    """A person reads from the reason how the canary failed."""
    assert seen(life(passed(1), failed(14, fault), rules=AT_ONCE)) == (NOTREADY, reason)
    assert seen(life(failed(3, fault))) == (NOTREADY, reason)


@pytest.mark.parametrize("fault", CanaryFault)
def test_every_fault_is_in_the_table_of_this_test(fault: CanaryFault) -> None:
    """A fault that is added needs a reason."""
    assert fault in FAULTS


@pytest.mark.parametrize(
    ("phase", "reason"),
    [
        (Phase.PORT_CLOSED, Reason.PORT_CLOSED),
        (Phase.NO_MODEL, Reason.NO_MODEL),
        (Phase.FIRST_TOKEN, Reason.FIRST_TOKEN),
    ],
)
def test_a_starting_engine_shows_how_far_it_has_come(phase: Phase, reason: Reason) -> None:
    """Loading is not ready, with the phase that was seen."""
    assert seen(life(Loading(1, phase))) == (NOTREADY, reason)


@pytest.mark.parametrize("threshold", [1, 2, 3])
def test_failures_in_a_row_turn_it_at_the_threshold_and_not_before(threshold: int) -> None:
    """Line 4."""
    rules = RULES._replace(failure_threshold=threshold)
    standing = life(passed(1), rules=rules)
    for nth in range(1, threshold + 1):
        standing = lived(standing, failed(10 + 3 * nth), rules=rules)
        assert standing.verdict.ready is (nth < threshold)


@pytest.mark.parametrize("proof", [passed(15), Progress(15), begun(15)])
def test_a_proof_between_failures_begins_the_count_anew(proof: Evidence) -> None:
    """In a row means in a row."""
    standing = life(passed(1), failed(14), proof, failed(18))
    assert standing.verdict.ready
    assert standing.failures == 1


@pytest.mark.parametrize("threshold", [1, 2, 3])
def test_proofs_in_a_row_turn_it_back_at_the_threshold_and_not_before(threshold: int) -> None:
    """Line 5."""
    rules = RULES._replace(success_threshold=threshold, failure_threshold=1)
    standing = life(*map(passed, range(1, threshold + 1)), rules=rules)
    standing = lived(standing, failed(14), rules=rules)
    for nth in range(1, threshold + 1):
        standing = lived(standing, passed(20 + nth), rules=rules)
        assert standing.verdict.ready is (nth == threshold)


def test_the_first_proofs_too_are_counted() -> None:
    """A success threshold of two asks a starting endpoint for two proofs."""
    rules = RULES._replace(success_threshold=2)
    first = life(passed(1), rules=rules)
    assert seen(first) == (NOTREADY, Reason.UNPROVEN)
    assert seen(lived(first, Progress(2), rules=rules)) == (READY, Reason.TRAFFIC)


def test_a_failure_between_proofs_begins_the_count_of_proofs_anew() -> None:
    """A flapping endpoint does not add up its good moments."""
    rules = RULES._replace(success_threshold=2, failure_threshold=2)
    down = life(passed(1), passed(2), failed(14), failed(17), rules=rules)
    once = lived(down, passed(20), failed(23), passed(26), rules=rules)
    assert seen(once) == (NOTREADY, Reason.CANARY_TIMEOUT)
    assert lived(once, passed(29), rules=rules).verdict.ready


def test_a_stall_begins_the_count_of_proofs_anew() -> None:
    """Proofs from before the turn do not count for the way back."""
    rules = RULES._replace(success_threshold=2)
    down = life(passed(1), passed(2), passed(3), busy(4), Tick(64), rules=rules)
    assert seen(lived(down, Progress(65), rules=rules)) == (NOTREADY, Reason.STALLED)
    assert lived(down, Progress(65), Progress(66), rules=rules).verdict.ready


def test_registering_again_begins_a_new_life() -> None:
    """Nothing of the earlier life is remembered but its cost; a lease is told again."""
    again = life(passed(1), Lease(2, 100), busy(3), Registered(5.0, canary=True))
    fresh = Standing.of(Registered(5.0, canary=True))
    assert again == fresh._replace(spent=Spending(canaries=1, tokens=1))


def test_a_users_failed_request_turns_nothing_by_itself() -> None:
    """It raises a suspicion, if the fault is not the user's own."""
    for fault in RequestFault:
        standing = life(passed(1), RequestFailed(2, fault))
        assert standing.verdict.ready
        assert standing.suspected is (fault is not RequestFault.CLIENT)


def test_load_without_a_number_keeps_the_last_one() -> None:
    """A failed scrape is unknown, and never idle."""
    assert life(busy(1, 4), Load(2, None)).pending == 4
    assert life(Load(2, None)).pending is None
    assert life(busy(1, 4), idle(2), Load(3, None)).pending == 0


def test_defaults_are_those_of_the_settings_page() -> None:
    """Rules without arguments are what a user gets who sets nothing."""
    assert Rules() == Rules(10.0, 3.0, 60.0, 60.0, 2, 1, 0.1)
    assert Rules(wait=1, deadline=3).retry == 1
    assert Rules(wait=10, deadline=3).retry == 3


def test_what_is_no_evidence_is_refused() -> None:
    """A word that the table does not know is a mistake of ours, and not a verdict."""
    with pytest.raises(AssertionError, match="'hearsay'"):
        life("hearsay")  # type: ignore[arg-type]
