"""The witnesses: the last word of each, what it weighs, who decided and who disagreed."""

from __future__ import annotations

import pytest

from serinus.core.evidence import (
    Blinded,
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
    Tick,
    Witness,
)
from serinus.core.hearing import Hearing, heard
from serinus.core.rules import Rules
from serinus.core.verdict import Standing
from serinus.core.witnesses import Says, Words
from serinus.core.witnesses import Testimony as Word
from tests.core.lives import AT_ONCE, RULES, busy, failed, idle, life, passed

COUNTED = Witness.COUNTERS


def reading(at: float, pending: int | None) -> Load:
    """What an engine's page says is running and waiting."""
    return Load(at, pending, witness=COUNTED)


def moved(at: float) -> Progress:
    """An engine's counter that went up."""
    return Progress(at, COUNTED)


def word(witness: Witness, *seen: Evidence, now: float, rules: Rules = RULES) -> Word | None:
    """What a witness says."""
    said = life(*seen, rules=rules).testimonies(rules, now=now)
    return next((one for one in said if one.witness is witness), None)


def hear(standing: Standing, now: float, rules: Rules = RULES) -> Hearing:
    """Hear all witnesses."""
    return heard(standing, rules, now=now)


WORDS: list[tuple[Witness, tuple[Evidence, ...], float, Word]] = [
    (
        Witness.CANARY,
        (passed(1),),
        5.0,
        Word(
            Witness.CANARY,
            Says.WELL,
            1.0,
            1.0,
            "passed",
            "canary: first item after 0.100 s, done after 0.100 s",
        ),
    ),
    (
        Witness.CANARY,
        (passed(1), failed(5)),
        5.0,
        Word(
            Witness.CANARY,
            Says.NOT_WELL,
            5.0,
            0.5,
            "timeout",
            "canary failed: timeout after 1.000 s",
        ),
    ),
    (
        Witness.CANARY,
        (passed(1), failed(5), failed(7), failed(9)),
        5000.0,
        Word(
            Witness.CANARY,
            Says.NOT_WELL,
            9.0,
            1.0,
            "timeout",
            "canary failed: timeout after 1.000 s",
        ),
    ),
    (
        Witness.CANARY,
        (passed(1), busy(2), failed(5)),
        5.0,
        Word(
            Witness.CANARY,
            Says.NOTHING,
            5.0,
            0.0,
            "timeout",
            "canary failed: timeout after 1.000 s",
        ),
    ),
    (
        Witness.CANARY,
        (passed(1), CanaryUnknown(5.0, "late")),
        5.0,
        Word(Witness.CANARY, Says.NOTHING, 5.0, 0.0, "unknown", "canary without a meaning: late"),
    ),
    (
        Witness.TRAFFIC,
        (Progress(3.0),),
        29.0,
        Word(Witness.TRAFFIC, Says.WELL, 3.0, 0.5, "output", "progress seen by traffic"),
    ),
    (
        Witness.TRAFFIC,
        (passed(1), RequestFailed(3.0, RequestFault.TRANSPORT, "reset")),
        3.0,
        Word(
            Witness.TRAFFIC,
            Says.NOT_WELL,
            3.0,
            0.25,
            "transport failure",
            "a request failed (transport): reset",
        ),
    ),
    (
        COUNTED,
        (moved(3.0), reading(3.0, 2)),
        16.0,
        Word(COUNTED, Says.WELL, 3.0, 1.0, "progress", "progress seen by engine counters"),
    ),
    (
        COUNTED,
        (moved(3.0), reading(4.0, None)),
        10.0,
        Word(
            COUNTED,
            Says.NOTHING,
            4.0,
            0.0,
            "unknown",
            "no reading of the engine's metrics that can be believed",
        ),
    ),
    (
        COUNTED,
        (moved(3.0), reading(4.0, 2), Tick(63.0)),
        64.0,
        Word(
            COUNTED, Says.NOT_WELL, 4.0, 1.0, "standstill", "2 in flight, nothing moved for 60.0 s"
        ),
    ),
    (
        Witness.TRAFFIC,
        (Progress(3.0), busy(4, 2)),
        64.0,
        Word(
            Witness.TRAFFIC,
            Says.NOT_WELL,
            4.0,
            1.0,
            "standstill",
            "2 in flight, nothing moved for 60.0 s",
        ),
    ),
    (
        Witness.OWN_HEALTH,
        (Heard(3.0, well=True, detail="200"),),
        29.0,
        Word(
            Witness.OWN_HEALTH, Says.WELL, 3.0, 0.125, "200", "the engine says of itself: well: 200"
        ),
    ),
    (
        Witness.OWN_HEALTH,
        (Heard(3.0, well=False),),
        3.0,
        Word(
            Witness.OWN_HEALTH,
            Says.NOT_WELL,
            3.0,
            0.25,
            "not well",
            "the engine says of itself: not well",
        ),
    ),
    (
        Witness.OWN_HEALTH,
        (Heard(3.0, well=None, detail="no answer"),),
        3.0,
        Word(
            Witness.OWN_HEALTH,
            Says.NOTHING,
            3.0,
            0.0,
            "no answer",
            "the engine says of itself: nothing: no answer",
        ),
    ),
    (
        Witness.PROCESS,
        (Loading(3.0, Phase.NO_MODEL),),
        3000.0,
        Word(
            Witness.PROCESS,
            Says.NOT_WELL,
            3.0,
            1.0,
            "no model listed",
            "loading: no model listed",
        ),
    ),
    (
        Witness.PROCESS,
        (passed(1), EngineDied(3.0, "gone"), Loading(4.0, Phase.PORT_CLOSED), moved(5.0)),
        3000.0,
        Word(Witness.PROCESS, Says.NOT_WELL, 3.0, 1.0, "dead", "engine died: gone"),
    ),
    (
        Witness.PROCESS,
        (passed(1), EngineDied(3.0, "gone"), Progress(5.0)),
        3000.0,
        Word(Witness.PROCESS, Says.NOT_WELL, 3.0, 1.0, "dead", "engine died: gone"),
    ),
    (
        Witness.CANARY,
        (passed(1), busy(2), failed(6)),
        6.0,
        Word(
            Witness.CANARY,
            Says.NOTHING,
            6.0,
            0.0,
            "timeout",
            "canary failed: timeout after 1.000 s",
        ),
    ),
    (
        Witness.OWNER,
        (Lease(3.0, 63.0, "weights"),),
        62.9,
        Word(Witness.OWNER, Says.NOTHING, 3.0, 0.0, "lease", "lease for 60.0 s: weights"),
    ),
    (
        Witness.OURSELVES,
        (Blinded(3.0, 2.0, "late"),),
        3000.0,
        Word(
            Witness.OURSELVES,
            Says.NOTHING,
            3.0,
            0.0,
            "trouble",
            "trouble of our own for 1.0 s: late",
        ),
    ),
]


@pytest.mark.parametrize(("witness", "seen", "now", "says"), WORDS)
def test_what_each_witness_says(
    witness: Witness, seen: tuple[Evidence, ...], now: float, says: Word
) -> None:
    """Its last word, when it was said, and what it weighs by now."""
    assert word(witness, *seen, now=now) == says


NONE: list[tuple[Witness, tuple[Evidence, ...]]] = [
    (Witness.TRAFFIC, (passed(1), RequestFailed(3.0, RequestFault.CLIENT))),
    (Witness.TRAFFIC, (passed(1), idle(2))),
    (COUNTED, (passed(1), reading(2, 0))),
    (COUNTED, (passed(1), reading(2, 3))),
    (Witness.OWNER, (Lease(3.0, 5.0),)),
    (Witness.PROCESS, (Loading(2.0, Phase.FIRST_TOKEN), passed(3))),
    (Witness.PROCESS, (Loading(2.0, Phase.FIRST_TOKEN), Progress(3.0))),
    (Witness.PROCESS, (Loading(2.0, Phase.FIRST_TOKEN), moved(3.0))),
    (Witness.PROCESS, (EngineDied(2.0), passed(3))),
    (Witness.CANARY, (passed(1), Registered(4.0, canary=True))),
]


@pytest.mark.parametrize(("witness", "seen"), NONE)
def test_what_is_no_word(witness: Witness, seen: tuple[Evidence, ...]) -> None:
    """A bad request of a user, an idle page, what is over, and what was before this life."""
    assert word(witness, *seen, now=5.0) is None


def test_a_word_weighs_less_when_the_next_one_is_overdue() -> None:
    """After the wait and the deadline of a canary it falls as 1/age."""
    weights = [
        one.weight
        for age in (0, 13, 26, 130)
        if (one := word(Witness.TRAFFIC, Progress(0.0), now=age)) is not None
    ]
    assert weights == [1.0, 1.0, 0.5, 0.1]


def test_an_accusation_does_not_fade() -> None:
    """It stands until a proof takes it back; the testimony that never decides does fade."""
    for evidence in (EngineDied(0.0), failed(0, CanaryFault.RAISED)):
        one = life(evidence, rules=AT_ONCE).testimonies(AT_ONCE, now=1e6)[0]
        assert (one.says, one.weight) == (Says.NOT_WELL, 1.0)
    ill = word(Witness.OWN_HEALTH, Heard(0.0, well=False), now=26.0)
    assert ill is not None
    assert ill.weight == 0.125


def test_the_heaviest_word_comes_first_and_the_newer_of_two_alike() -> None:
    """So that a reader meets what matters first."""
    standing = life(Heard(1.0, well=True), passed(2), moved(3), reading(4, None))
    said = [one.witness for one in standing.testimonies(RULES, now=5.0)]
    assert said == [*[COUNTED, Witness.CANARY, Witness.OWN_HEALTH][1:], COUNTED]
    both = life(passed(2), Progress(3.0)).testimonies(RULES, now=5.0)
    assert [one.witness for one in both] == [Witness.TRAFFIC, Witness.CANARY]


# --- pending -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loads", "pending"),
    [
        ((), None),
        ((reading(1, None),), None),
        ((reading(1, 3),), 3),
        ((reading(1, 0),), 0),
        ((busy(1, 2), reading(1, 0)), 2),
        ((idle(1), reading(1, 3)), 3),
        ((busy(1, 2), reading(1, 5)), 5),
        ((reading(1, 3), reading(2, None)), 3),
        ((reading(1, 3), reading(2, None), reading(3, 0)), 0),
        ((busy(1, 2), Load(2.0, None)), 2),
    ],
)
def test_pending_is_whatever_anyone_sees(loads: tuple[Load, ...], pending: int | None) -> None:
    """The engine's own count or ours; a failed reading is unknown, and never idle."""
    standing = life(passed(0), *loads)
    assert standing.words.pending == standing.pending == pending
    assert standing.busy is bool(pending)


def test_a_failed_reading_of_a_busy_engine_brings_no_canary_on_top() -> None:
    """It was busy when it was last heard of, and nobody has said that it is not."""
    standing = life(passed(1), reading(2, 3), reading(3, None))
    assert standing.busy
    assert life(passed(1), reading(2, 3), reading(3, None), failed(9)).failures == 0


def test_words_before_anyone_spoke() -> None:
    """Nobody has said anything."""
    words = Words()
    said = words.testimonies(RULES, now=0.0, flow_at=0.0, failures=0, counted=False)
    assert (words.pending, said) == (None, ())


# --- the hearing -------------------------------------------------------------------------------

HEARINGS: list[tuple[tuple[Evidence, ...], float, str]] = [
    ((), 2.0, "decided by owner 2.0 s ago"),
    ((passed(1),), 2.0, "decided by canary 1.0 s ago"),
    ((passed(1), Progress(1.5)), 2.0, "decided by traffic 0.5 s ago"),
    ((passed(1), moved(1.5)), 2.0, "decided by engine counters 0.5 s ago"),
    ((Progress(1.0), passed(1.5)), 2.0, "decided by canary 0.5 s ago"),
    ((passed(1), Lease(2.0, 60.0)), 3.0, "decided by canary 2.0 s ago"),
    ((passed(1), busy(2), failed(5)), 6.0, "decided by canary 5.0 s ago"),
    (
        (passed(20), Heard(9.0, well=False, detail="503")),
        20.5,
        "decided by canary 0.5 s ago; disagree: own health (503, 11.5 s ago)",
    ),
    (
        (passed(3), RequestFailed(3.0, RequestFault.SERVER)),
        3.2,
        "decided by canary 0.2 s ago; disagree: traffic (server failure, 0.2 s ago)",
    ),
    (
        (passed(1), Heard(8.0, well=True, detail="200"), reading(8.5, None), failed(9), failed(10)),
        10.2,
        (
            "decided by canary 0.2 s ago; disagree: own health (200, 2.2 s ago), "
            "engine counters (unknown, 1.7 s ago)"
        ),
    ),
    (
        (passed(1), Heard(8.0, well=False, detail="503"), passed(9)),
        10.0,
        "decided by canary 1.0 s ago; disagree: own health (503, 2.0 s ago)",
    ),
    (
        (passed(20), Heard(6.9, well=False, detail="503")),
        21.0,
        "decided by canary 1.0 s ago",
    ),
    (
        (passed(1), RequestFailed(3.0, RequestFault.SERVER)),
        4.0,
        "decided by canary 3.0 s ago; disagree: traffic (server failure, 1.0 s ago)",
    ),
    ((RequestFailed(0.5, RequestFault.SERVER), passed(1)), 4.0, "decided by canary 3.0 s ago"),
    (
        (passed(1), EngineDied(5.0, "gone"), Progress(6.0)),
        7.0,
        "decided by process 2.0 s ago; disagree: traffic (output, 1.0 s ago)",
    ),
    ((Progress(1.0), EngineDied(5.0, "gone")), 7.0, "decided by process 2.0 s ago"),
    ((Loading(1.0, Phase.PORT_CLOSED),), 4.0, "decided by process 3.0 s ago"),
    (
        (passed(1), moved(2.0), reading(2.0, 3), Tick(62.0)),
        65.0,
        "decided by engine counters 3.0 s ago",
    ),
    (
        (passed(1), moved(2.0), reading(2.0, 3), Tick(62.0), Heard(63.0, well=True, detail="200")),
        65.0,
        "decided by engine counters 3.0 s ago; disagree: own health (200, 2.0 s ago)",
    ),
    (
        (passed(1), moved(2.0), reading(2.0, 3), Tick(62.0), reading(63.0, 0)),
        65.0,
        "decided by canary 3.0 s ago",
    ),
    (
        (
            passed(1),
            Blinded(5.0, 3.0),
            CanaryUnknown(5.0),
            Blinded(34.0, 31.0),
            Blinded(35.0, 34.0),
        ),
        36.0,
        "decided by ourselves 1.0 s ago; disagree: canary (unknown, 31.0 s ago)",
    ),
]


@pytest.mark.parametrize(("seen", "now", "told"), HEARINGS)
def test_who_decided_and_who_disagreed(seen: tuple[Evidence, ...], now: float, told: str) -> None:
    """In one line, for reports and logs."""
    assert str(hear(life(*seen), now)) == told


def test_an_endpoint_without_a_canary_is_its_owners_word() -> None:
    """Nothing else stands behind it."""
    hearing = hear(life(canary=False), 3.0)
    assert hearing.decided == Word(Witness.OWNER, Says.WELL, 0.0, 1.0, "registered", "registered")
    assert hearing.at == 3.0


def test_the_deciding_word_is_the_last_one_of_its_witness() -> None:
    """A canary that goes on failing goes on deciding."""
    hearing = hear(life(passed(1), failed(5), failed(7), failed(90)), 91.0)
    assert hearing.decided.at == 90.0
    assert hearing.decided == hearing.testimonies[0]


def test_a_verdict_that_nobody_repeats_is_told_by_its_own_evidence() -> None:
    """The canary that condemned it was excused since; the verdict stands until a proof."""
    wrong = CanaryFault.EMPTY
    condemned = life(passed(1), failed(3), failed(5, wrong), busy(6), failed(9, sent=7))
    text = "canary failed: empty stream after 1.000 s"
    decided = Word(Witness.CANARY, Says.NOT_WELL, 5.0, 1.0, text, text)
    assert hear(condemned, 10.0).decided == decided
