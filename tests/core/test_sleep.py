"""An engine that says that it sleeps is not ready, and live; tokens are believed before that."""

from __future__ import annotations

import pytest

from serinus.core.evidence import (
    CanaryFault,
    EngineDied,
    Evidence,
    Lease,
    Loading,
    Phase,
    Progress,
    RequestFailed,
    RequestFault,
    Sleep,
    Tick,
    Witness,
)
from serinus.core.hearing import heard
from serinus.core.pacing import Due, Step, next_due
from serinus.core.status import Reason
from serinus.core.verdict import Standing
from tests.core.lives import AT_ONCE, RULES, begun, busy, failed, life, lived, passed, seen

ASLEEP = Sleep(20, asleep=True, detail="the metrics page")
AWAKE = Sleep(500, asleep=False)


def process_words(standing: Standing, at: float) -> list[str]:
    """What the process is said to be."""
    told = standing.testimonies(RULES, now=at)
    return [one.short for one in told if one.witness is Witness.PROCESS]


def test_a_sleeping_engine_is_not_ready_and_nothing_hangs() -> None:
    """Nobody's request is answered, and a restart would not help."""
    standing = life(passed(1), ASLEEP, Tick(10_000))
    assert seen(standing) == ("notready", Reason.SLEEPING)
    assert standing.verdict.evidence == ASLEEP
    assert standing.verdict.since == 20
    assert standing.hangs_at(RULES) is None
    assert process_words(standing, 30) == ["asleep"]
    assert heard(standing, RULES, now=30).decided.witness is Witness.PROCESS


def test_saying_it_again_changes_nothing() -> None:
    """It fell asleep when it first said so."""
    standing = life(passed(1), ASLEEP)
    again = lived(standing, Sleep(30, asleep=True))
    assert again.verdict == standing.verdict
    assert again.asleep == ASLEEP


@pytest.mark.parametrize("before", [(), (passed(1),), (passed(1), busy(5))])
def test_a_sleeping_engine_gets_no_canary_and_one_at_once_when_it_wakes(
    before: tuple[Evidence, ...],
) -> None:
    """However long the wait would be; work that is still in flight has its whole budget."""
    asleep = life(*before, ASLEEP)
    assert next_due(asleep, RULES, now=20).step is Step.LOOK
    awake = lived(asleep, AWAKE)
    assert awake.asleep is None
    assert awake.lease_until == 500
    if awake.busy:
        assert awake.stalls_at(RULES) == 560
    else:
        assert next_due(awake, RULES, now=500) == Due(500, Step.ASK)


def test_an_engine_that_woke_is_ready_when_it_has_proven_it() -> None:
    """That it says so is testimony, a token is proof."""
    awake = life(passed(1), ASLEEP, AWAKE)
    assert seen(awake) == ("notready", Reason.SLEEPING)
    assert process_words(awake, 500) == []
    assert seen(lived(awake, passed(501))) == ("ready", Reason.CANARY)


def test_an_engine_that_does_not_come_back_is_found() -> None:
    """Canaries after its sleep count as ever."""
    awake = life(passed(1), ASLEEP, AWAKE, failed(504, sent=501), failed(508, sent=505))
    assert seen(awake) == ("notready", Reason.CANARY_TIMEOUT)
    assert awake.hangs_at(RULES) == 508 + RULES.hang


def test_waking_does_not_shorten_a_lease() -> None:
    """The owner has announced more than the sleep."""
    assert life(passed(1), Lease(10, 900), ASLEEP, AWAKE).lease_until == 900


def test_being_awake_is_no_news() -> None:
    """An engine that says it all the time is asked when it would be anyway."""
    standing = life(passed(1), Sleep(5, asleep=False))
    assert standing.lease_until == float("-inf")
    assert seen(standing) == ("ready", Reason.CANARY)


@pytest.mark.parametrize("fault", CanaryFault)
def test_a_canary_that_meets_the_sleep_counts_for_nothing(fault: CanaryFault) -> None:
    """VLLM aborts what is in flight, which is an empty answer."""
    standing = life(passed(1), ASLEEP, failed(21, fault, sent=19), rules=AT_ONCE)
    assert standing.failures == 0
    assert standing.asked_at == 21
    assert seen(standing) == ("notready", Reason.SLEEPING)


def test_falling_asleep_explains_what_failed_just_before() -> None:
    """A canary or a request can meet it before it is known."""
    fault = RequestFailed(19, RequestFault.SERVER)
    standing = life(passed(1), failed(19), fault, ASLEEP)
    assert standing.failures == 0
    assert not standing.suspect
    assert not lived(standing, AWAKE, passed(501)).suspected


def test_falling_asleep_ends_doubt_and_blindness() -> None:
    """It is known now why it kept silent."""
    doubting = life(passed(1))._replace(unanswered=True, blind_since=15.0)
    standing = lived(doubting, ASLEEP)
    assert not standing.unanswered
    assert standing.blind_since is None


@pytest.mark.parametrize("proof", [Progress(30), passed(30), begun(30)])
def test_an_engine_that_brings_something_does_not_sleep_whatever_it_says(proof: Evidence) -> None:
    """Tokens are believed before words."""
    standing = life(passed(1), ASLEEP, proof)
    assert standing.asleep is None
    assert standing.verdict.ready
    assert process_words(standing, 30) == []


def test_death_is_worse_than_sleep() -> None:
    """Whichever came first."""
    dead = EngineDied(30, "gone")
    for order in ((ASLEEP, dead), (dead, ASLEEP)):
        standing = life(passed(1), *order)
        assert seen(standing) == ("notready", Reason.ENGINE_DIED)
        assert process_words(standing, 40) == ["dead"]
        assert next_due(standing, RULES, now=40).step is Step.ASK


@pytest.mark.parametrize("canary", [True, False])
def test_it_holds_for_an_engine_that_was_never_asked(canary: bool) -> None:
    """Serinus can be started beside a sleeping engine, and without canaries."""
    phase = Loading(10, Phase.FIRST_TOKEN)
    assert seen(life(phase, ASLEEP, canary=canary)) == ("notready", Reason.SLEEPING)
    awake = life(phase, ASLEEP, AWAKE, canary=canary)
    assert awake.verdict.ready is not canary


@pytest.mark.parametrize(
    ("sleep", "words"),
    [
        (ASLEEP, "the engine says that it is asleep: the metrics page"),
        (AWAKE, "the engine says that it is awake"),
    ],
)
def test_it_says_what_it_is(sleep: Sleep, words: str) -> None:
    """For people."""
    assert str(sleep) == words
