"""History: the last changes, and how many are forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.history import History, Transition


def moment(at: float) -> Transition:
    """A change."""
    return Transition(at, "n.c.e", "notready", "ready", "canary", "")


@given(st.integers(0, 5), st.integers(0, 20))
def test_it_keeps_the_newest_and_counts_the_rest(size: int, count: int) -> None:
    """Bounded, oldest first."""
    history = History(size=size)
    changes = [moment(float(at)) for at in range(count)]
    for change in changes:
        history.add(change)
    kept = min(size, count)
    assert history.transitions == tuple(changes[count - kept :])
    assert history.forgotten == count - kept
    assert history.seen == count


def test_what_it_gives_out_does_not_change_later() -> None:
    """A report keeps the history of its moment."""
    history = History(size=2)
    history.add(moment(1))
    before = history.transitions
    history.add(moment(2))
    assert before == (moment(1),)


def test_a_transition_is_frozen() -> None:
    """What happened, happened."""
    with pytest.raises(AttributeError):
        moment(1).at = 2.0  # type: ignore[misc]
