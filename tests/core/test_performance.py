"""Slower than it was, or than is asked: with hysteresis, and without poisoning what is usual."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.performance import Drift, Quota, Usual, level_of, load_at


def usual(seconds: float = 0.1, times: int = 64) -> Usual:
    """What is known after so many equal times."""
    known = Usual()
    for _ in range(times):
        known = known.after(seconds)
    return known


def drift(*ratios: float, was: Drift | None = None) -> Drift:
    """Take these ratios, by a factor of three."""
    known = was if was is not None else Drift()
    for ratio in ratios:
        known = known.after(ratio, factor=3.0)
    return known


def test_nothing_is_usual_before_enough_was_seen() -> None:
    """Eleven times are no past to compare with."""
    assert usual(times=11).ratio(10.0) is None
    ratio = usual(times=12).ratio(1.0)
    assert ratio is not None
    assert abs(ratio - 10) < 1e-6


def test_a_few_milliseconds_are_noise() -> None:
    """An engine that answers in a millisecond may take five more."""
    assert usual(0.001).ratio(0.0059) == 1.0
    ratio = usual(0.001).ratio(0.0061)
    assert ratio is not None
    assert ratio > 6


def test_one_slow_time_is_nothing_and_three_of_five_are_off() -> None:
    """The median decides."""
    assert not drift(1, 1, 1, 9, 9).off
    assert drift(1, 1, 9, 9, 9).off
    assert not drift(9, 9, 9).off, "not before there are five"


def test_it_comes_back_only_well_below_where_it_went() -> None:
    """Between the root of the factor and the factor it stays as it is."""
    off = drift(9, 9, 9, 9, 9)
    assert drift(2, 2, 2, 2, 2, was=off).off
    assert not drift(2, 2, 2, 2, 2).off
    assert not drift(1.5, 1.5, 1.5, was=off).off


@given(st.lists(st.floats(0.1, 100), max_size=60))
def test_what_is_kept_is_bounded(ratios: list[float]) -> None:
    """Five ratios, whatever is seen; the median is one of them."""
    known = drift(*ratios)
    assert len(known.recent) <= 5
    assert known.median in (known.recent or (1.0,))


def quota(*times: float, was: Quota | None = None) -> Quota:
    """Ask nine in ten to be within a second."""
    known = was if was is not None else Quota()
    for seconds in times:
        known = known.after(seconds, objective=1.0, share=0.9)
    return known


def test_an_objective_is_missed_when_too_many_miss_it() -> None:
    """One in twenty is within the one in ten that is allowed; one in four is not."""
    assert not quota(*([0.5] * 19 + [2.0]) * 10).off
    assert quota(*([0.5] * 3 + [2.0]) * 20).off
    assert not quota(*[2.0] * 19).off, "nineteen are too few to say"


def test_an_objective_that_was_missed_has_to_be_met_for_a_while() -> None:
    """Back when less than half of what is allowed misses it."""
    off = quota(*[2.0] * 40)
    assert quota(*[0.5] * 100, was=off).off
    assert not quota(*[0.5] * 300, was=off).off


@given(st.integers(0, 10**6))
def test_levels_are_few_and_rise_with_the_load(in_flight: int) -> None:
    """Twice as many in flight is one level up, to the fifth."""
    assert 0 <= level_of(in_flight) <= level_of(in_flight * 2) <= 5


@pytest.mark.parametrize(
    ("level", "told", "loads"),
    [
        (0, "1", (0, 1)),
        (1, "2 to 3", (2, 3)),
        (2, "4 to 7", (4, 7)),
        (3, "8 to 15", (8, 15)),
        (4, "16 to 31", (16, 31)),
        (5, "32 and more", (32, 5000)),
    ],
)
def test_a_level_says_which_loads_it_is_of(level: int, told: str, loads: tuple[int, int]) -> None:
    """The least and the most of them are of it, and nothing beyond is."""
    assert load_at(level) == told
    assert [level_of(load) for load in loads] == [level, level]
