"""Days of canaries under a budget, in virtual time: never more, never blind, and it is all told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from serinus.core.budget import DAY
from serinus.core.status import Reason
from serinus.runtime import loop_watch, metrics
from serinus.runtime.board import Board
from serinus.runtime.memory import Memory
from tests.runtime.benches import Bench, read, settings
from tests.runtime.engines import Engine

BUDGET = 1000
FLOOR = DAY / (0.7 * BUDGET)
HOUR = 3600.0


@pytest.fixture(autouse=True)
def _seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at our own loop once a minute: ten times a second is a million times in a day."""
    monkeypatch.setattr(loop_watch, "_PACE", 60.0)


def most_in_a_day(asked: Sequence[float]) -> int:
    """The most of any 24 hours, wherever they begin."""
    return max(sum(first <= at < first + DAY for at in asked) for first in asked)


def widest(asked: Sequence[float]) -> float:
    """The longest time without a canary."""
    return max(b - a for a, b in pairwise(asked))


@pytest.mark.parametrize("changed", [{"canary_budget": BUDGET}, {"canary_token_budget": BUDGET}])
async def test_three_days_stay_within_the_budget_and_are_never_blind(
    changed: dict[str, int],
) -> None:
    """Quick at first, then at the floor; a canary every 10 s would be 25,920 of them."""
    async with Bench(**changed) as bench:
        engine = Engine()
        await bench.serve(engine)
        await asyncio.sleep(3 * DAY)
        assert most_in_a_day(engine.canaries) <= BUDGET
        assert widest(engine.canaries) <= FLOOR + 1
        assert len(engine.canaries) > 3 * 0.6 * BUDGET  # it is there to be spent
        assert engine.canaries[5] - engine.canaries[0] < 100
        assert bench.ready()


async def test_an_engine_that_hangs_late_in_the_day_is_found_within_the_floor() -> None:
    """The first question at the stretched wait, the second at once, from the reserve."""
    async with Bench(canary_budget=BUDGET) as bench:
        engine = Engine()
        await bench.serve(engine)
        await asyncio.sleep(20 * HOUR)
        engine.behaviour = "hangs"
        began = bench.loop.time()
        async with asyncio.timeout(FLOOR + 3):
            while bench.ready():  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.1)
        assert bench.reason() is Reason.CANARY_TIMEOUT
        first, second = [at for at in engine.canaries if at >= began][:2]
        assert second - first <= 1.1  # the deadline, and no wait


async def test_an_engine_that_is_down_all_day_costs_no_more_and_its_return_is_seen() -> None:
    """Asking every second would be 86,400; within the reserve's pace its return is found."""
    async with Bench(canary_budget=BUDGET) as bench:
        engine = Engine()
        await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "raises"
        await asyncio.sleep(1.5 * DAY)
        assert most_in_a_day(engine.canaries) <= BUDGET
        assert widest(engine.canaries) <= FLOOR + 1
        engine.behaviour = "good"
        await asyncio.sleep(FLOOR + 2)
        assert bench.ready()
        assert most_in_a_day(engine.canaries) <= BUDGET


async def test_traffic_saves_the_budget_for_later() -> None:
    """Busy hours cost nothing, and the quiet hour after them has its quick canaries."""
    async with Bench(canary_budget=BUDGET) as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await asyncio.sleep(12 * HOUR)
        assert bench.target().standing.spent.of_canaries.emptiness(BUDGET, bench.loop.time()) > 0.9
        spent = len(engine.canaries)
        for _ in range(int(6 * HOUR / 5)):
            await read(endpoint.stream({"token_ids": [7]}))
            await asyncio.sleep(5)
        assert len(engine.canaries) - spent <= 1
        spent = len(engine.canaries)
        await asyncio.sleep(60)
        assert len(engine.canaries) - spent >= 4


async def test_the_cost_is_told() -> None:
    """In the metrics; without a budget there is no such sample."""
    async with Bench(canary_budget=BUDGET) as bench:
        await bench.serve(Engine())
        await asyncio.sleep(25)
        page = metrics.render(bench.board, {}).decode()
        names = 'namespace="demo",component="backend",endpoint="generate"'
        assert f"serinus_canary_tokens_total{{{names}}} 3" in page
        assert f"serinus_canaries_paid_total{{{names}}} 3" in page
        assert "serinus_canary_wait_seconds{" in page
        assert page.count("serinus_canary_budget_left_ratio{") == 1
    async with Bench() as bench:
        await bench.serve(Engine())
        page = metrics.render(bench.board, {}).decode()
        assert "serinus_canary_budget_left_ratio{" not in page
        assert f"serinus_canary_wait_seconds{{{names}}} 10" in page


async def test_custom_checks_cost_nothing() -> None:
    """They ask no engine for tokens."""
    async with Bench(canary_budget=100) as bench:
        asked: list[float] = []

        async def check() -> bool:
            asked.append(bench.now)
            return True

        endpoint = await bench.serve(Engine())
        endpoint.add_check("disk", check, interval=1, timeout=1)
        await asyncio.sleep(600)
        assert len(asked) >= 599


async def test_what_was_spent_survives_a_restart(tmp_path: Path) -> None:
    """A worker that crashes all day has no budget for each of its lives."""
    path = tmp_path / "state"
    left: list[float] = []
    for _ in range(2):
        loop = asyncio.get_running_loop()
        memory = Memory(path)
        memory.load()
        async with Bench(canary_budget=BUDGET) as bench:
            bench.board = Board(
                settings(canary_budget=BUDGET), clock=loop.time, seed=1, memory=memory
            )
            bench.manager = bench.board.manager
            bench.manager.start()
            await bench.serve(Engine())
            purse = bench.target().standing.spent.of_canaries
            left.append(1 - purse.emptiness(BUDGET, loop.time()))
            await asyncio.sleep(6 * HOUR)
            memory.keep(bench.board.remembered())
            memory.write()
    assert left[0] == 1
    assert left[1] < 0.1


@pytest.mark.parametrize("spent", [7, [1, 2, 3], [1, 2, 3, -1], [1, 2, 3, "x"], [0, 0, 0, 1e12]])
def test_a_damaged_purse_is_a_cold_start(tmp_path: Path, spent: object) -> None:
    """As with everything in the file."""
    path = tmp_path / "state"
    known = {
        "engine": "x", "canaries": [0, 0, 0, 0], "gaps": [0, 0, 0, 0], "on_top": 0,
        "beside": False, "first": [0, 0], "spent": spent,
    }  # fmt: skip

    path.write_text(json.dumps({"serinus_state": 1, "endpoints": {"a.b.c": known}}))
    memory = Memory(path)
    memory.load()
    assert memory.recall("a.b.c", "x") is None
    assert memory.spent("a.b.c", 5.0) == ((0, 0, 5), (0, 0, 5))
