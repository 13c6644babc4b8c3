"""Rounds are gone as long as somebody has joined, and no longer."""

from __future__ import annotations

import asyncio

from serinus.asgi.rounds import PACE, Rounds
from serinus.simulation.virtual_time import VirtualTimeLoop


async def test_each_is_looked_at_in_every_round() -> None:
    """From when it joins to when it leaves."""
    rounds, seen = Rounds(), list[str]()

    def first() -> None:
        seen.append("first")

    def second() -> None:
        seen.append("second")

    rounds.join(first)
    await asyncio.sleep(1.5 * PACE)
    rounds.join(second)
    await asyncio.sleep(PACE)
    assert (seen[0], sorted(seen[1:])) == ("first", ["first", "second"])
    rounds.leave(first)
    await asyncio.sleep(PACE)
    assert seen[3:] == ["second"]
    rounds.leave(second)


async def test_a_loop_without_answers_is_not_woken() -> None:
    """The rounds end with the last one, and the next who joins begins anew."""
    rounds, seen = Rounds(), list[int]()

    def look() -> None:
        seen.append(1)

    for times in (1, 2):
        rounds.join(look)
        await asyncio.sleep(1.5 * PACE)
        rounds.leave(look)
        rounds.leave(look)
        assert rounds._timer is None
        await asyncio.sleep(10 * PACE)
        assert len(seen) == times


def test_rounds_go_on_in_another_loop() -> None:
    """A server without a lifespan may be run by one loop after the other."""
    rounds, seen = Rounds(), list[int]()

    def look() -> None:
        seen.append(1)

    async def stay() -> None:
        rounds.join(look)
        await asyncio.sleep(1.5 * PACE)
        rounds.leave(look)

    for times in (1, 2):
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(stay())
        assert len(seen) == times
