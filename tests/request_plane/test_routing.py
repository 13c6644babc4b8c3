"""Which instance gets the next request."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from serinus.request_plane.routing import Policy, choose

IDS = st.sets(st.integers(0, 2**64 - 1), min_size=1, max_size=12)
DRAW = st.floats(0, 1, exclude_max=True)
POLICY = st.sampled_from(Policy)


@given(POLICY, IDS, st.none() | st.integers(0, 2**64 - 1), DRAW)
def test_one_of_those_that_are_given_is_chosen(
    policy: Policy, ids: set[int], last: int | None, draw: float
) -> None:
    """Never one that is not ready, whoever was last."""
    assert choose(policy, ids, last=last, draw=draw, loads={}) in ids


@given(POLICY, DRAW)
def test_of_none_none_is_chosen(policy: Policy, draw: float) -> None:
    """And nothing is raised."""
    assert choose(policy, [], last=None, draw=draw, loads={}) is None


@given(IDS, DRAW, st.integers(1, 4))
def test_round_robin_gives_each_the_same(ids: set[int], draw: float, rounds: int) -> None:
    """However the first was chosen."""
    got: Counter[int] = Counter()
    last: int | None = None
    for _ in range(rounds * len(ids)):
        last = choose(Policy.ROUND_ROBIN, ids, last=last, draw=draw, loads={})
        assert last is not None
        got[last] += 1
    assert set(got.values()) == {rounds}


@given(IDS, st.data())
def test_one_that_goes_disturbs_the_turn_of_no_other(ids: set[int], data: st.DataObject) -> None:
    """The next one after the last is next, whoever left."""
    last = data.draw(st.sampled_from(sorted(ids)))
    gone = data.draw(st.sampled_from(sorted(ids)))
    chosen = choose(Policy.ROUND_ROBIN, ids, last=last, draw=0, loads={})
    left = ids - {gone}
    if left and chosen != gone:
        assert choose(Policy.ROUND_ROBIN, left, last=last, draw=0, loads={}) == chosen


@given(IDS, st.data(), DRAW)
def test_none_has_less_to_do_than_the_least_loaded(
    ids: set[int], data: st.DataObject, draw: float
) -> None:
    """By the requests of this client that are in flight."""
    loads = {one: data.draw(st.integers(0, 5)) for one in ids}
    last = data.draw(st.none() | st.sampled_from(sorted(ids)))
    chosen = choose(Policy.LEAST_LOADED, ids, last=last, draw=draw, loads=loads)
    assert chosen is not None
    assert loads[chosen] == min(loads.values())


def test_the_least_loaded_take_turns() -> None:
    """An idle fleet is not served by its first instance alone."""
    last: int | None = 0
    chosen = []
    for _ in range(4):
        last = choose(Policy.LEAST_LOADED, [1, 2, 3], last=last, draw=0, loads={})
        chosen.append(last)
    assert chosen == [1, 2, 3, 1]


def test_clients_that_start_together_begin_at_different_instances() -> None:
    """Or the first would be flooded."""
    first = {
        choose(Policy.ROUND_ROBIN, range(4), last=None, draw=draw / 8, loads={})
        for draw in range(8)
    }
    assert first == {0, 1, 2, 3}
