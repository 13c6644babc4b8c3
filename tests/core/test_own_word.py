"""The engine's own word: it is written down, it brings a question, and it decides nothing."""

from __future__ import annotations

import pytest

from serinus.core.evidence import EngineDied, Heard, Lease, Registered
from serinus.core.pacing import Step, next_due
from serinus.core.status import Reason
from tests.core.lives import AT_ONCE, RULES, busy, failed, life, lived, passed, seen

WELL, ILL, NOTHING = Heard(5.0, well=True), Heard(5.0, well=False), Heard(5.0, well=None)


@pytest.mark.parametrize("word", [WELL, ILL, NOTHING])
def test_no_word_changes_a_verdict(word: Heard) -> None:
    """A frozen engine says that it is well, and a busy one may say that it is not."""
    for before in (
        life(),
        life(passed(1)),
        life(passed(1), failed(2), rules=AT_ONCE),
        life(passed(1), EngineDied(2)),
        life(passed(1), busy(2)),
        life(canary=False),
    ):
        assert lived(before, word).verdict is before.verdict


def test_the_last_word_is_kept() -> None:
    """For whoever asks what the engine says of itself; a new life begins without it."""
    standing = life(WELL, ILL._replace(at=6.0))
    assert standing.heard == Heard(6.0, well=False)
    assert lived(standing, Registered(7.0, canary=True)).heard is None


def test_a_bad_word_brings_a_question_at_once() -> None:
    """It need not wait for the canary that is due anyway."""
    standing = life(passed(1), ILL)
    assert standing.suspected
    due = next_due(standing, RULES, now=5.0)
    assert (due.step, due.at) == (Step.ASK, 1 + RULES.retry)


@pytest.mark.parametrize("word", [WELL, NOTHING])
def test_a_good_word_and_silence_bring_none(word: Heard) -> None:
    """Silence of a health page is not an illness: saturated servers keep silent."""
    assert not life(passed(1), word).suspected


def test_the_same_bad_word_again_brings_no_second_question() -> None:
    """A page that says 503 for ever must not multiply the canaries; one that turns again may."""
    asked = life(passed(1), ILL, passed(6))
    assert not lived(asked, Heard(7.0, well=False)).suspected
    assert lived(asked, Heard(7.0, well=True), Heard(9.0, well=False)).suspected


def test_a_good_word_clears_nothing() -> None:
    """Only a proof does."""
    assert life(passed(1), ILL, Heard(6.0, well=True)).suspected
    assert seen(life(passed(1), failed(2), WELL, rules=AT_ONCE))[1] is Reason.CANARY_TIMEOUT


def test_a_lease_does_not_make_the_word_count_for_more_or_less() -> None:
    """The question that it brings waits for the end of the lease."""
    standing = life(passed(1), Lease(2.0, 60.0), ILL)
    assert next_due(standing, RULES, now=5.0).at == 60.0
