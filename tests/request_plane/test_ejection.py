"""Which instances are left out because requests to them fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.request_plane.ejection import EjectionRules, Ejections
from serinus.request_plane.faults import Fault

RULES = EjectionRules(failures=3, first=1.0, longest=8.0, quiet=30.0, share=0.5, panic=0.5)
IDS = [1, 2, 3, 4]

Story = list[tuple[int, Fault | None, float]]
STORY = st.lists(
    st.tuples(st.sampled_from(IDS), st.none() | st.sampled_from(Fault), st.floats(0, 20, width=32)),
    max_size=60,
)


def told(story: Story, ejections: Ejections | None = None) -> tuple[Ejections, float]:
    """Tell a story, whose third parts are the seconds since the one before; return the end."""
    at = 0.0
    ejections = ejections or Ejections(RULES)
    for one, fault, later in story:
        at += later
        ejections = ejections.after(one, fault, at)
    return ejections, at


def failing(one: int, times: int = 3, fault: Fault = Fault.SERVER) -> Story:
    """Return a story of failures at one moment."""
    return [(one, fault, 0.0)] * times


# --- for every story -------------------------------------------------------------------------


@given(STORY)
def test_everyone_is_either_usable_or_ejected(story: Story) -> None:
    """And somebody is usable, whatever happens."""
    ejections, at = told(story)
    split = ejections.split(IDS, at)
    assert sorted(split.usable + split.ejected) == IDS
    assert split.usable


@given(STORY, st.sets(st.sampled_from(IDS), min_size=1))
def test_no_more_than_the_share_is_ejected(story: Story, ready: set[int]) -> None:
    """Of those that are ready, however many others fail."""
    ejections, at = told(story)
    split = ejections.split(ready, at)
    assert len(split.ejected) <= RULES.share * len(ready)


@given(STORY)
def test_in_panic_nobody_is_ejected(story: Story) -> None:
    """It is one or the other."""
    ejections, at = told(story)
    split = ejections.split(IDS, at)
    assert not (split.panic and split.ejected)


@given(STORY, st.lists(st.sampled_from(IDS), max_size=40))
def test_what_is_not_the_instances_fault_changes_nothing(story: Story, others: list[int]) -> None:
    """A wrong request, an instance that is full, one that is draining: never held against it."""
    ejections, at = told(story)
    after = ejections
    for one in others:
        for fault in (Fault.CLIENT, Fault.OVERLOADED, Fault.UNAVAILABLE):
            after = after.after(one, fault, at)
    assert after == ejections


@given(STORY)
def test_no_ejection_is_longer_than_the_longest(story: Story) -> None:
    """However often it failed."""
    ejections, at = told(story)
    assert ejections.split(IDS, at + RULES.longest + 0.001).usable == tuple(IDS)


@given(STORY, st.sampled_from(IDS))
def test_a_success_forgives(story: Story, one: int) -> None:
    """It is usable at once, and one failure does not eject it."""
    ejections, at = told([*story, (one, None, 0.0), (one, Fault.SERVER, 0.0)])
    assert one in ejections.split(IDS, at).usable


# --- example by example ----------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.SERVER, Fault.TIMEOUT, Fault.TRANSPORT])
def test_failures_in_a_row_eject(fault: Fault) -> None:
    """Fewer do not."""
    few, at = told(failing(2, 2, fault))
    assert few.split(IDS, at).ejected == ()
    enough, at = told(failing(2, 3, fault))
    assert enough.split(IDS, at) == ((1, 3, 4), (2,), False)


def test_the_time_grows_and_shrinks_again() -> None:
    """It doubles with every ejection up to the longest, and halves with every quiet spell."""
    ejections, at = told(failing(2))
    spans = []
    for _ in range(5):
        until = ejections.marks[2].until
        spans.append(until - at)
        at = until
        ejections = ejections.after(2, Fault.SERVER, at)  # on probation, one is enough
    assert spans == [1, 2, 4, 8, 8]
    at = ejections.marks[2].until + 2 * RULES.quiet
    ejections = ejections.after(2, Fault.SERVER, at)
    assert ejections.marks[2].until - at == 2


def test_requests_that_began_before_do_not_make_it_longer() -> None:
    """All that were in flight when it broke fail at once."""
    ejections, at = told(failing(2, 50))
    assert ejections.marks[2].until - at == RULES.first


def test_of_two_the_one_that_fails_is_left_out() -> None:
    """The smallest fleet in which it helps."""
    ejections, at = told(failing(1))
    assert ejections.split([1, 2], at) == ((2,), (1,), False)
    assert ejections.split([1], at).panic


def test_when_most_fail_it_is_panic() -> None:
    """It is not three of four instances that are at fault, or nothing can be done about it."""
    ejections, at = told([*failing(1), *failing(2), *failing(3)])
    assert ejections.split(IDS, at) == (tuple(IDS), (), True)


def test_past_the_share_the_first_to_come_back_is_kept() -> None:
    """Those ejected last for the longest are left out."""
    rules = RULES._replace(share=0.25, panic=0.0)
    ejections, at = told([*failing(1), (2, Fault.SERVER, 0.5), *failing(2)], Ejections(rules))
    assert ejections.split(IDS, at).ejected == (2,)


def test_one_that_is_gone_is_forgotten() -> None:
    """An id that comes back is another process."""
    ejections, at = told(failing(2))
    assert ejections.without(2).split(IDS, at).usable == tuple(IDS)
    assert not ejections.without(2).marks
