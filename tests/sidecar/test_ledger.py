"""What is ours among an engine's numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.engines import Counters
from serinus.sidecar.ledger import GHOSTS, SETTLES_WITHIN, SHOWS_WITHIN, Ledger, Seen


def page(
    pending: float | None = 0,
    *,
    tokens: float | None = 100,
    steps: float | None = 100,
    finished: float | None = 10,
) -> Counters:
    """A metrics page of an engine that counts everything."""
    return Counters(running=pending, tokens=tokens, steps=steps, finished=finished)


def read(ledger: Ledger, now: Counters, at: float) -> tuple[Ledger, Seen]:
    """Take a reading that took no time."""
    return ledger.read(now, began=at, at=at)


@pytest.fixture
def idle() -> Ledger:
    """A ledger that has seen an idle engine."""
    return read(Ledger(), page(), 0.0)[0]


def test_the_first_reading_is_no_progress() -> None:
    """What an engine did before anyone looked proves nothing of now."""
    _, seen = read(Ledger(), page(3, tokens=5000), 0.0)
    assert seen == Seen(0.0, progress=False, pending=3)


@pytest.mark.parametrize("counter", ["tokens", "steps", "finished"])
def test_users_progress_is_progress(idle: Ledger, counter: str) -> None:
    """Any counter that moves while nothing of ours is under way was moved by users."""
    moved = page(1, **{counter: 1000})
    _, seen = read(idle, moved, 1.0)
    assert (seen.progress, seen.pending) == (True, 1)


def test_a_canary_in_flight_is_neither_work_nor_progress(idle: Ledger) -> None:
    """One token and then a hang: the token is the canary's own, and must not save the engine."""
    ledger = idle.sent(1.0)
    ledger, seen = read(ledger, page(1, tokens=101, steps=102), 1.1)
    assert (seen.progress, seen.pending) == (False, 0)
    ledger, seen = read(ledger.given_up(), page(1, tokens=101, steps=102), 4.1)
    assert (seen.progress, seen.pending) == (False, 0)


def test_users_work_beside_a_canary_is_seen(idle: Ledger) -> None:
    """More than a canary can have done was done by others."""
    _, seen = read(idle.sent(1.0), page(3, tokens=140), 2.0)
    assert (seen.progress, seen.pending) == (True, 2)


def test_a_canary_that_passed_is_no_progress_on_the_next_page(idle: Ledger) -> None:
    """Its token, its end and its steps appear a moment after it is over."""
    ledger = idle.sent(1.0).passed(1.1)
    ledger, seen = read(ledger, page(tokens=101, steps=102, finished=11), 1.5)
    assert not seen.progress
    _, seen = read(ledger, page(tokens=102, steps=103, finished=12), 2.5)
    assert seen.progress, "nothing of ours was under way any more"


def test_a_token_that_was_counted_in_flight_is_not_allowed_for_twice(idle: Ledger) -> None:
    """Seen first with its token and then with its end, a canary is still one canary."""
    ledger, _ = read(idle.sent(1.0), page(1, tokens=101, steps=101), 1.05)
    ledger, seen = read(ledger.passed(1.1), page(tokens=101, steps=101, finished=11), 2.0)
    assert not seen.progress
    assert ledger.believed
    assert ledger.missing_since is None


def test_a_canary_that_was_given_up_may_give_its_token_late(idle: Ledger) -> None:
    """A slow engine's late token would otherwise prove it, over and over."""
    ledger = idle.sent(1.0).given_up()
    ledger, seen = read(ledger, page(tokens=100, steps=100), 3.0)
    ledger, seen = read(ledger, page(tokens=101, steps=101, finished=11), 4.0)
    assert not seen.progress
    _, seen = read(ledger, page(tokens=102, steps=102, finished=12), 5.0)
    assert seen.progress, "one canary has one token"


def test_ghosts_are_not_users_work(idle: Ledger) -> None:
    """An engine that does not let go of given-up canaries still looks idle, and is asked again."""
    ledger = idle.sent(1.0).given_up().sent(4.0).given_up()
    _, seen = read(ledger, page(2), 8.0)
    assert seen.pending == 0


def test_ghosts_that_are_not_reported_are_forgotten(idle: Ledger) -> None:
    """An engine that lets go of them counts users alone; so do we, from then on."""
    ledger, _ = read(idle.sent(1.0).given_up(), page(0), 2.0)
    assert ledger.ghosts == 0
    _, seen = read(ledger, page(1), 3.0)
    assert seen.pending == 1


def test_ghosts_vanish_when_others_work_gets_done(idle: Ledger) -> None:
    """An engine that works has had its chance to let go of them."""
    ledger, _ = read(idle.sent(1.0).given_up(), page(3, tokens=200), 5.0)
    _, seen = read(ledger, page(3, tokens=300), 6.0)
    assert seen.pending == 3


def test_a_pile_of_ghosts_looks_like_work() -> None:
    """So that no more canaries are put on top of it: piles of them have crashed engines."""
    ledger = read(Ledger(), page(), 0.0)[0]
    for number in range(GHOSTS + 1):
        ledger, _ = read(ledger.sent(float(number)).given_up(), page(number + 1), number + 0.5)
    _, seen = read(ledger, page(GHOSTS + 1), 20.0)
    assert seen.pending == 1


def test_the_last_question_does_not_hide_the_work_that_it_is_about(idle: Ledger) -> None:
    """A frozen page counts the users' request and not ours; ours must not be taken off it."""
    ledger, _ = read(idle, page(1, tokens=150), 1.0)
    ledger = ledger.sent(30.0, on_top=True)
    ledger, seen = read(ledger, page(1, tokens=150), 31.0)
    assert seen.pending == 1
    _, seen = read(ledger.given_up(), page(1, tokens=150), 33.0)
    assert seen.pending == 1


def test_a_canary_that_never_arrived_leaves_no_trace(idle: Ledger) -> None:
    """A refused connection is nothing that the engine could count."""
    assert idle.sent(1.0).never_arrived() == idle


def test_counters_that_went_down_are_another_engine(idle: Ledger) -> None:
    """A restart: take the page as the new base, and neither accuse nor acquit."""
    ledger, seen = read(idle.sent(1.0).given_up(), page(2, tokens=3, steps=3, finished=0), 9.0)
    assert (seen.progress, seen.anew, seen.pending) == (False, True, 2)
    _, seen = read(ledger, page(2, tokens=50, steps=50, finished=0), 10.0)
    assert seen.progress


def test_a_page_without_gauges_is_unknown_and_not_idle(idle: Ledger) -> None:
    """Nobody said that there is no work."""
    _, seen = read(idle, page(None, tokens=500), 1.0)
    assert (seen.progress, seen.pending) == (True, None)


def test_a_page_without_tokens_and_steps_cannot_show_a_standstill(idle: Ledger) -> None:
    """A long request moves only those; without them silence means nothing."""
    assert read(idle, page(), 1.0)[1].steady
    assert not read(Ledger(), page(tokens=None, steps=None), 1.0)[1].steady


def test_a_page_that_does_not_show_a_canary_is_not_believed(idle: Ledger) -> None:
    """A frozen exporter says of a healthy engine that eight run and nothing moves."""
    ledger = read(idle, page(8), 1.0)[0].sent(30.0, on_top=True).passed(30.2)
    ledger, seen = read(ledger, page(8), 30.2 + SHOWS_WITHIN / 2)
    assert seen.pending == 8, "it may still be on its way"
    ledger, seen = read(ledger, page(8), 30.2 + SHOWS_WITHIN)
    assert (ledger.believed, seen.pending) == (False, None)


def test_a_page_that_moves_again_is_believed_again(idle: Ledger) -> None:
    """One moving counter shows that the page is alive."""
    ledger, _ = read(idle.sent(1.0).passed(1.1), page(8), 5.0)
    assert not ledger.believed
    ledger, seen = read(ledger, page(4, tokens=200), 6.0)
    assert (ledger.believed, seen.pending, seen.progress) == (True, 4, True)


def test_a_page_that_counts_nothing_cannot_be_caught_lying() -> None:
    """Its gauges are all there is; a canary has no way to appear on it."""
    blind = page(2, tokens=None, steps=None, finished=None)
    ledger, _ = read(Ledger(), blind, 0.0)
    ledger, seen = read(ledger.sent(1.0).passed(1.1), blind, 1.1 + SETTLES_WITHIN + 1)
    assert (ledger.believed, seen.pending) == (True, 2)


def test_what_ended_long_ago_is_not_allowed_for(idle: Ledger) -> None:
    """An answer without a token (an error) leaves no mark on the page, and no credit for ever."""
    ledger, _ = read(idle.sent(1.0).answered(1.1), page(), 1.1 + SETTLES_WITHIN)
    _, seen = read(ledger, page(1, finished=11), 1.1 + SETTLES_WITHIN + 1)
    assert (seen.progress, seen.pending) == (True, 1)


# --- properties ------------------------------------------------------------------------------

_ACTS = st.sampled_from(["send", "pass", "answer", "give up", "never"])
_GROWTH = st.integers(min_value=0, max_value=3)


def test_an_exam_may_bring_many_tokens(idle: Ledger) -> None:
    """As many as were asked for, a step each; one more was made for somebody else."""
    asked = idle.sent(1.0, tokens=24)
    for ledger in (asked, asked.passed(2.0)):
        _, seen = read(ledger, page(tokens=124, steps=127, finished=11), 2.0)
        assert not seen.progress
        for more in ({"tokens": 125}, {"steps": 128}, {"finished": 12}):
            _, seen = read(ledger, page(**{"tokens": 124, "steps": 127, "finished": 11, **more}), 2)
            assert seen.progress, more


def test_an_exam_that_was_given_up_may_give_its_tokens_late(idle: Ledger) -> None:
    """All of them, once; a canary that is given up afterwards has one."""
    ledger = idle.sent(1.0, tokens=24).given_up()
    ledger, seen = read(ledger, page(tokens=124, steps=127), 2.0)
    assert (seen.progress, ledger.late) == (False, 0)
    _, seen = read(ledger, page(tokens=125, steps=128), 3.0)
    assert seen.progress
    ledger = ledger.sent(4.0).given_up()
    _, seen = read(ledger, page(tokens=126, steps=130), 5.0)
    assert seen.progress
    both = idle.sent(1.0, tokens=24).given_up().sent(2.0).given_up()
    assert (both.late, both.late_tokens) == (2, 24)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int, int, int]]:
    """Acts of ours, each followed by a reading: pending, and how far the counters went."""
    return draw(
        st.lists(st.tuples(_ACTS, st.integers(0, 20), _GROWTH, _GROWTH), min_size=1, max_size=30)
    )


@given(histories())
def test_users_are_never_more_than_is_reported(
    history: list[tuple[str, int, int, int]],
) -> None:
    """And never fewer than none; allowances stay bounded whatever happens."""
    ledger, tokens, finished = Ledger(), 0, 0
    for at, (act, pending, more, ends) in enumerate(history):
        ledger = _do(ledger, act, float(at))
        tokens, finished = tokens + more, finished + ends
        now = page(pending, tokens=tokens, steps=tokens, finished=finished)
        ledger, seen = read(ledger, now, at + 0.5)
        assert seen.pending is None or 0 <= seen.pending <= pending
        assert ledger.ghosts <= GHOSTS
        assert ledger.late <= GHOSTS
        assert len(ledger.landed) <= GHOSTS


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_our_own_tokens_never_prove_an_engine(outcomes: list[bool]) -> None:
    """Each canary brings its one token, in time or too late, and nobody else does anything."""
    ledger, _ = read(Ledger(), page(tokens=0, steps=0, finished=0), 0.0)
    for tokens, passes in enumerate(outcomes, start=1):
        at = 10.0 * tokens
        ledger = ledger.sent(at)
        ledger = ledger.passed(at + 1) if passes else ledger.given_up()
        now = page(tokens=tokens, steps=tokens, finished=tokens)
        ledger, seen = read(ledger, now, at + 5)
        assert not seen.progress


@given(st.lists(st.integers(GHOSTS * 3, 500), min_size=1, max_size=20), st.data())
def test_users_in_numbers_are_always_seen(grown: list[int], data: st.DataObject) -> None:
    """However our canaries fare, work beyond what they can have done is progress."""
    ledger, tokens = read(Ledger(), page(tokens=0), 0.0)[0], 0
    for at, more in enumerate(grown, start=1):
        ledger = _do(ledger, data.draw(_ACTS), float(at))
        tokens += more
        ledger, seen = read(ledger, page(5, tokens=tokens), at + 0.5)
        assert seen.progress


def _do(ledger: Ledger, act: str, at: float) -> Ledger:
    match act:
        case "send":
            return ledger.sent(at)
        case "pass":
            return ledger.passed(at)
        case "answer":
            return ledger.answered(at)
        case "give up":
            return ledger.given_up()
        case _:
            return ledger.never_arrived()
