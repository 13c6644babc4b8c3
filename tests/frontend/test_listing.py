"""The array of all instances, kept in pieces."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from serinus.frontend.listing import Listing

CHANGES = st.lists(st.tuples(st.integers(0, 12), st.one_of(st.none(), st.integers(0, 99))))


@given(CHANGES, st.integers(1, 4))
def test_it_is_the_array_of_what_is_there(changes: list[tuple[int, int | None]], size: int) -> None:
    """Whatever came and went, and however small the pieces."""
    listing, there = Listing(size=size), dict[str, int]()
    for number, value in changes:
        key = str(number)
        if value is None:
            listing.remove(key)
            there.pop(key, None)
        else:
            listing.put(key, b"%d" % value)
            there[key] = value
        assert sorted(json.loads(b"[" + b"".join(listing.chunks()) + b"]")) == sorted(
            there.values()
        )
    assert len(listing) == len(there)
    assert set(listing) == set(there)


def test_a_change_renders_one_piece_anew() -> None:
    """The others are handed out as they are, however large the fleet."""
    listing = Listing(size=10)
    for number in range(100):
        listing.put(str(number), b"%d" % number)
    before = listing.chunks()
    listing.put("55", b"1000")
    after = listing.chunks()
    assert len(after) == 10
    assert sum(a is not b for a, b in zip(before[1:], after[1:], strict=True)) == 1


def test_what_was_handed_out_does_not_change() -> None:
    """A slow reader gets the fleet of one moment."""
    listing = Listing()
    listing.put("a", b"1")
    before = listing.chunks()
    listing.put("b", b"2")
    listing.remove("a")
    assert before == (b"1",)
    assert listing.chunks() == (b"2",)


def test_room_that_was_left_is_used_again() -> None:
    """A fleet whose instances come and go has no more pieces than it needs."""
    listing = Listing(size=4)
    for number in range(1000):
        listing.put(str(number), b"1")
        if number >= 4:
            listing.remove(str(number - 4))
    assert len(listing._pieces) <= 3
