"""How many requests are served at once."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.errors import RequestError
from serinus.request_plane.gate import Gate, Ticket


def test_the_rest_wait_in_turn_and_more_are_refused() -> None:
    """Room for one, a queue of two, and the fourth hears why."""
    gate = Gate(most=1, queue=2)
    first, second, third = (gate.admit() for _ in range(3))
    with pytest.raises(RequestError, match="1 requests in flight and 2 waiting") as refused:
        gate.admit()
    assert refused.value.fault == "overloaded"
    assert [one.inside for one in (first, second, third)] == [True, False, False]
    first.leave()
    assert [one.inside for one in (second, third)] == [True, False]
    assert (gate.inside, gate.waiting, gate.refused) == (1, 1, 1)


def test_whoever_gives_up_waiting_leaves_the_queue() -> None:
    """Its place goes to the next."""
    gate = Gate(most=1, queue=2)
    first, second, third = (gate.admit() for _ in range(3))
    second.leave()
    second.leave()
    first.leave()
    assert third.inside
    third.leave()
    assert (gate.inside, gate.waiting) == (0, 0)


async def test_a_turn_can_be_waited_for() -> None:
    """By the task of the request."""
    gate = Gate(most=1, queue=1)
    first, second = gate.admit(), gate.admit()
    asyncio.get_running_loop().call_later(3, first.leave)
    began = asyncio.get_running_loop().time()
    await second.turn()
    assert asyncio.get_running_loop().time() - began == pytest.approx(3)


@given(st.integers(1, 4), st.integers(0, 4), st.lists(st.integers(-20, 20), max_size=80))
def test_its_bounds_hold(most: int, queue: int, moves: list[int]) -> None:
    """Whoever comes and leaves; and nobody waits while there is room."""
    gate = Gate(most=most, queue=queue)
    tickets: list[Ticket] = []
    for move in moves:
        if move >= 0:
            try:
                tickets.append(gate.admit())
            except RequestError:
                assert (gate.inside, gate.waiting) == (most, queue)
        elif tickets:
            tickets.pop(move % len(tickets)).leave()
        assert gate.inside == sum(one.inside for one in tickets) <= most
        assert gate.waiting == len(tickets) - gate.inside <= queue
        assert not gate.waiting or gate.inside == most
