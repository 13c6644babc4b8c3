"""What an engine said, and whether it says it for ever."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.transcript import Transcript, Unit, loop_in


@pytest.mark.parametrize("block", [(1,), (1, 2), (1, 2, 3)])
def test_twelve_tokens_of_one_block_are_endless(block: tuple[int, ...]) -> None:
    """One fewer is not, and a token behind them ends them."""
    tail = block * (12 // len(block))
    assert loop_in((9, *tail)) == block
    assert loop_in((9, *tail[1:])) == ()
    assert loop_in((9, *tail, 8)) == ()


def test_a_block_is_of_eight_tokens_at_most() -> None:
    """A song has longer verses, and is no loop."""
    assert loop_in(tuple(range(8)) * 4) == tuple(range(8))
    assert loop_in(tuple(range(9)) * 4) == ()


def test_a_block_comes_four_times() -> None:
    """Three times is a habit of speech; what was begun of it counts."""
    assert loop_in((1, 2, 3, 4, 5) * 4) == (1, 2, 3, 4, 5)
    assert loop_in((1, 2, 3, 4, 5) * 3 + (1, 2, 3, 4)) == ()


def test_the_tail_is_half_of_the_answer() -> None:
    """An answer that ends in a row of dots has said something before."""
    assert loop_in((*range(100, 112), *(7,) * 12)) == (7,)
    assert loop_in((*range(100, 113), *(7,) * 12)) == ()


@given(st.lists(st.integers(0, 3), max_size=40))
def test_the_block_is_what_the_answer_ends_in(tokens: list[int]) -> None:
    """Whatever the answer: what is called a loop is one."""
    block = loop_in(tokens)
    if block:
        assert tuple(tokens[-4 * len(block) :]) == block * 4


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=6))
def test_pieces_join_to_the_whole(pieces: list[list[int]]) -> None:
    """Any division of an answer gives the same."""
    whole = Transcript()
    for piece in pieces:
        numbers = tuple(-float(one) for one in piece)
        text = "".join(map(str, piece))
        whole = whole.joined(Transcript(tuple(piece), numbers, numbers, text))
    tokens = tuple(one for piece in pieces for one in piece)
    assert whole.tokens == tokens
    assert whole.text == "".join(map(str, tokens))
    if tokens:
        assert whole.logprobs == whole.margins == tuple(-float(one) for one in tokens)


def test_what_one_part_does_not_tell_the_whole_does_not() -> None:
    """Numbers stand beside their tokens, or nowhere."""
    one, other = Transcript((1,), (-0.1,), (2.0,)), Transcript((2,), None, (1.0,))
    assert one.joined(other) == Transcript((1, 2), None, (2.0, 1.0))
    assert other.joined(one) == Transcript((2, 1), None, (1.0, 2.0))


def test_a_piece_without_tokens_changes_no_numbers() -> None:
    """Chunks that only end an answer, or only have a role; the unit is that of the tokens."""
    said = Transcript((1,), (-0.1,), (2.0,), "a", Unit.TEXT)
    assert said.joined(Transcript(text="b")) == said._replace(text="ab")
    assert Transcript(text="b").joined(said) == said._replace(text="ba")


@pytest.mark.parametrize("number", [nan, inf, -inf, -9999.0, -1000.1])
def test_a_log_probability_that_cannot_be_is_unsound(number: float) -> None:
    """The place is that of the first."""
    assert Transcript((1, 2, 3), (-0.1, number, number)).unsound == 1


@pytest.mark.parametrize("number", [0.0, -1000.0, -20.0, 1e-6])
def test_any_other_is_sound(number: float) -> None:
    """A rounding above nought too; and where none is told, nothing is unsound."""
    assert Transcript((1,), (number,)).unsound is None
    assert Transcript((1,)).unsound is None


def test_numberless_is_an_answer_whose_numbers_are_none() -> None:
    """One number is enough; and where none are told there is nothing to be none."""
    assert Transcript((1, 2), (nan, nan)).numberless
    assert not Transcript((1, 2), (nan, -1.0)).numberless
    assert not Transcript((1,)).numberless
    assert not Transcript((), ()).numberless
