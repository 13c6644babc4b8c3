"""The simulated vLLM sleeps as the recorded real one did."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.sim.client import simulating

FIXTURES = Path(__file__).parent / "fixtures" / "vllm-0.32-sleep"


def recorded(name: str) -> Any:
    """Read one recorded exchange."""
    return json.loads((FIXTURES / f"{name}.json").read_text())


def states(page: str) -> set[str]:
    """The lines of a page that tell of sleep, whatever their order and model are."""
    lines = [line for line in page.splitlines() if line.startswith("vllm:engine_sleep_state{")]
    return {line.partition("sleep_state=")[2] for line in lines}


@pytest.mark.real_time
@pytest.mark.parametrize("level", [0, 1, 2])
async def test_it_sleeps_and_wakes_as_the_real_one(level: int) -> None:
    """Each answer and each page, in the order in which they were recorded."""
    async with simulating() as client:
        for name, page in (
            ("is-sleeping-awake", "awake"),
            (f"sleep-{level}", f"asleep-{level}"),
            ("is-sleeping-asleep", f"asleep-{level}"),
            ("wake-up", "awake"),
            ("is-sleeping-awake", "awake"),
        ):
            real = recorded(name)
            answer = await client.ask(real["request"]["method"], real["request"]["path"])
            assert answer.status == real["status"]
            assert answer.json == json.loads(real["body"])
            metrics = await client.get("/metrics")
            assert states(metrics.text) == states((FIXTURES / f"metrics-{page}.txt").read_text())


@pytest.mark.real_time
async def test_who_asks_a_sleeping_engine_waits_until_it_wakes() -> None:
    """Nothing on the page tells of the request, and `/health` says 200."""
    async with simulating() as client:
        await client.ask("POST", "/sleep?level=1")
        asking = asyncio.create_task(client.complete())
        await asyncio.sleep(0.2)
        assert (await client.get("/health")).status == 200
        page = (await client.get("/metrics")).text
        for gauge in ("running", "waiting"):
            lines = [
                one for one in page.splitlines() if one.startswith(f"vllm:num_requests_{gauge}{{")
            ]
            assert [float(one.split()[-1]) for one in lines] == [0.0]
        assert not asking.done()
        await client.ask("POST", "/wake_up")
        async with asyncio.timeout(30):
            assert (await asking).status == 200


@pytest.mark.real_time
@pytest.mark.parametrize(("mode", "ends"), [("abort", True), ("keep", False)])
async def test_falling_asleep_ends_what_is_under_way_or_keeps_it(mode: str, ends: bool) -> None:
    """As its owner asks for."""
    async with simulating() as client:
        asking = asyncio.create_task(client.complete(max_tokens=100_000, ignore_eos=True))
        async with asyncio.timeout(30):
            while not client.simulator.engine.running:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        await client.ask("POST", f"/sleep?level=1&mode={mode}")
        if ends:
            async with asyncio.timeout(30):
                await asking
        else:
            await asyncio.sleep(0.2)
            assert not asking.done()
            asking.cancel()


@pytest.mark.real_time
@pytest.mark.parametrize("query", ["level=3", "level=x", "mode=perhaps"])
async def test_what_it_does_not_know_is_refused(query: str) -> None:
    """And it does not sleep."""
    async with simulating() as client:
        assert (await client.ask("POST", f"/sleep?{query}")).status == 422
        assert (await client.get("/is_sleeping")).json == {"is_sleeping": False}
