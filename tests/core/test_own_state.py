"""Is it me? What our own trouble excuses, what it never excuses, and for how long."""

from __future__ import annotations

import pytest

from serinus.core.evidence import Blinded, CanaryFault, CanaryUnknown, Evidence, Tick
from serinus.core.own_state import Contact, Outage, excuse_of, lost_at_once
from serinus.core.status import Reason
from tests.core.lives import RULES, begun, busy, failed, life, lived, passed, seen

QUIET = (CanaryFault.TIMEOUT, CanaryFault.STUCK)


# --- which failures ----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", CanaryFault)
def test_a_loop_of_ours_that_was_late_excuses_silence_alone(fault: CanaryFault) -> None:
    """A wrong answer was given, however late we were."""
    why = excuse_of(failed(9, fault), span=3.0, lost=1.6, asleep=0.0)
    assert why == ("our own event loop lost 1.60 s" if fault in QUIET else "")


@pytest.mark.parametrize("fault", CanaryFault)
def test_a_host_that_slept_excuses_silence_and_broken_connections(fault: CanaryFault) -> None:
    """Not a port that refuses: that was said after the sleep."""
    why = excuse_of(failed(9, fault), span=3.0, lost=0.0, asleep=1.0)
    excused = (*QUIET, CanaryFault.DROPPED)
    assert why == ("the host was suspended for 1.0 s" if fault in excused else "")


@pytest.mark.parametrize(("lost", "asleep"), [(1.5, 0.0), (0.0, 0.99), (0.0, 0.0)])
def test_a_little_trouble_excuses_nothing(lost: float, asleep: float) -> None:
    """Half of the time, or a second of sleep."""
    assert excuse_of(failed(9), span=3.0, lost=lost, asleep=asleep) == ""


# --- for how long ------------------------------------------------------------------------------


def blinded(at: float, seconds: float = 2.0) -> tuple[Evidence, ...]:
    """A canary whose outcome our own trouble hid."""
    return Blinded(at, at - seconds), CanaryUnknown(at)


def troubled(first: float, last: float, step: float = 3.0) -> tuple[Evidence, ...]:
    """Trouble that hides every canary."""
    count = round((last - first) / step) + 1
    return tuple(one for number in range(count) for one in blinded(first + number * step))


def test_trouble_is_excused_for_its_budget_and_then_the_endpoint_is_not_ready() -> None:
    """Nobody can say that it serves; and it is no hang, so no restart is asked for."""
    inside = life(passed(1), *troubled(5, 32))
    assert seen(inside) == ("ready", Reason.CANARY)
    after = lived(inside, *blinded(35))
    assert seen(after) == ("notready", Reason.BLIND)
    assert after.verdict.evidence == Blinded(35.0, 33.0)
    assert after.verdict.since == 35.0
    assert after.hung_since is None


def test_one_trouble_is_excused_however_long_it_was() -> None:
    """A laptop that slept for a night; what counts is that trouble does not end."""
    assert seen(life(passed(1), *blinded(50_000, 49_000)))[0] == "ready"


def test_troubles_that_are_far_apart_do_not_add_up() -> None:
    """Between them there was time to see."""
    assert seen(life(passed(1), *blinded(5), *blinded(36, 1), *blinded(67, 1)))[0] == "ready"
    assert seen(life(passed(1), *blinded(5), *blinded(36, 2)))[0] == "notready"


@pytest.mark.parametrize("proof", [passed(36)])
def test_a_proof_ends_it(proof: Evidence) -> None:
    """And the budget begins anew."""
    again = life(passed(1), *troubled(5, 35), proof)
    assert seen(again)[0] == "ready"
    assert seen(lived(again, *troubled(38, 65)))[0] == "ready"
    assert seen(lived(again, *troubled(38, 68)))[0] == "notready"


def test_a_failure_that_is_the_engines_own_ends_it_too() -> None:
    """It stays not ready while that is confirmed, and is then accused by its name."""
    blind = life(passed(1), *troubled(5, 35))
    once = lived(blind, failed(40))
    assert seen(once)[1] is Reason.BLIND
    assert once.blind_since is None
    assert seen(lived(once, failed(43)))[1] is Reason.CANARY_TIMEOUT


def test_an_endpoint_that_is_condemned_stays_so() -> None:
    """What was known before is still known."""
    condemned = life(passed(1), failed(5), failed(8), *troubled(11, 60))
    assert seen(condemned)[1] is Reason.CANARY_TIMEOUT


def test_a_hang_is_not_held_against_an_engine_that_we_cannot_see() -> None:
    """Its budget begins anew after the trouble, but not for ever."""
    hung = life(passed(1), failed(5), failed(8))
    assert hung.hangs_at(RULES) == 8 + 30
    assert lived(hung, Blinded(20.0, 18.0)).hangs_at(RULES) == 20 + 30
    assert lived(hung, *troubled(11, 80)).hangs_at(RULES) == 11 + 30 + 30


def test_silence_of_work_that_we_could_not_see_does_not_count() -> None:
    """As in a lease; and not for ever either."""
    working = life(passed(1), busy(2))
    assert working.stalls_at(RULES) == 62
    assert lived(working, Blinded(20.0, 18.0)).stalls_at(RULES) == 80
    troubles = tuple(Blinded(at, at - 1.0) for at in range(20, 80, 5))
    assert lived(working, *troubles).stalls_at(RULES) == 20 + 30 + 60


def test_the_first_chunk_after_the_trouble_is_no_flow_and_keeps_the_excuse() -> None:
    """It proves the endpoint; the silence before it was ours all the same."""
    rules = RULES._replace(stall=5)
    working = life(passed(1), busy(2), Blinded(60.0, 3.0), rules=rules)
    begins = lived(working, begun(60.0), rules=rules)
    assert seen(begins)[0] == "ready"
    assert begins.stalls_at(rules) == 65


def test_work_that_stands_still_after_the_trouble_is_over_has_stalled() -> None:
    """An end of the trouble is an end of the excuse."""
    rules = RULES._replace(stall=20)
    troubles = tuple(Blinded(at, at - 1.0) for at in range(20, 55, 5))
    blind = life(passed(1), busy(19), *troubles, rules=rules)
    assert seen(blind)[1] is Reason.BLIND
    assert seen(lived(blind, Tick(79.9), rules=rules))[1] is Reason.BLIND
    stalled = lived(blind, Tick(80.0), rules=rules)
    assert seen(stalled)[1] is Reason.STALLED
    assert stalled.hung_since == 80.0


# --- all at once -------------------------------------------------------------------------------


def heard_of(answered: float | None, unheard: float | None) -> Contact:
    """An engine that answered last, and has been silent since."""
    return Contact(answered, unheard)


@pytest.mark.parametrize(
    ("contacts", "outage"),
    [
        ((heard_of(4, 5), heard_of(4, 5.5), heard_of(None, 4.5)), Outage(5.5, 3)),
        ((heard_of(4, 5), heard_of(4, 6.8)), Outage(6.8, 2)),
        ((heard_of(4, 5), heard_of(4, 6.9)), None),
        ((heard_of(4, 5), heard_of(6, None)), None),
        ((heard_of(4, 5), heard_of(None, None)), None),
        ((heard_of(4, 5), heard_of(0, 1)), Outage(5, 2)),
        ((heard_of(4, 5), heard_of(0, 0.9)), None),
        ((heard_of(4, 5), heard_of(None, 0.5), heard_of(4, 5.5)), Outage(5.5, 2)),
        ((heard_of(4, 5),), None),
        ((), None),
    ],
)
def test_all_were_lost_at_once(contacts: tuple[Contact, ...], outage: Outage | None) -> None:
    """Several, all silent for most of the question's time, and silent since the same moment."""
    assert lost_at_once(contacts, now=8.0, sent=5.0, within=4.0) == outage


def test_a_contact_is_silent_since_its_first_attempt_without_an_answer() -> None:
    """Later ones change nothing, an answer everything."""
    contact = Contact().trying(3.0).trying(5.0)
    assert contact == Contact(None, 3.0)
    assert contact.answered(6.0) == Contact(6.0, None)
    assert contact.answered(6.0).trying(7.0) == Contact(6.0, 7.0)


def test_an_outage_reads_as_a_line() -> None:
    """For logs and reports."""
    assert str(Outage(3.0, 4)) == "all 4 engines were lost at once"
