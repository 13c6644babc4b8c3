"""A mirror after trouble: who may be on the way is not dropped, who said so is."""

from __future__ import annotations

import pytest

from serinus.discovery import Change, Listing, Mirror

GRACE = 3.0


class Clock:
    """A clock that stands still."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


@pytest.fixture
def mirror(clock: Clock) -> Mirror:
    """Return a mirror that knew two entries, lost them from sight, and sees them again."""
    mirror = Mirror("v1/", grace=GRACE, clock=clock)
    there = Listing({"v1/a/b": b"1", "v1/a/c": b"1"})
    mirror.listed(there, after_trouble=True)
    mirror.lost()
    clock.now = 10.0
    mirror.listed(there, after_trouble=True)
    return mirror


def test_a_lease_that_ran_out_meanwhile_removes_nobody_who_may_be_on_the_way(
    mirror: Mirror, clock: Clock
) -> None:
    """The backend came back before its owner did: it is kept until the grace is over."""
    assert mirror.drop_missing() == 10.0 + GRACE
    clock.now = 11.0
    mirror.changed(Change("v1/a/b", None))
    assert set(mirror.entries) == {"v1/a/b", "v1/a/c"}
    clock.now = 12.0
    mirror.changed(Change("v1/a/b", b"1"))  # here it is
    clock.now = 10.0 + GRACE
    mirror.drop_missing()
    assert set(mirror.entries) == {"v1/a/b", "v1/a/c"}


def test_whoever_does_not_come_is_dropped_when_the_grace_is_over(
    mirror: Mirror, clock: Clock
) -> None:
    """And no later."""
    mirror.changed(Change("v1/a/b", None))
    clock.now = 10.0 + GRACE
    mirror.listed(Listing({"v1/a/c": b"1"}), after_trouble=False)
    assert mirror.drop_missing() is None
    assert set(mirror.entries) == {"v1/a/c"}


def test_whoever_announced_itself_again_can_withdraw_at_once(mirror: Mirror) -> None:
    """Its removal is its own word."""
    mirror.changed(Change("v1/a/b", b"1"))
    mirror.changed(Change("v1/a/b", None))
    assert set(mirror.entries) == {"v1/a/c"}


def test_without_trouble_a_removal_is_believed(mirror: Mirror, clock: Clock) -> None:
    """The grace is of the trouble alone."""
    clock.now = 10.0 + GRACE
    mirror.changed(Change("v1/a/b", None))
    assert set(mirror.entries) == {"v1/a/c"}
