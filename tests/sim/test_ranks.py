"""Data-parallel ranks behind one simulated server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serinus.engines import engine_named
from serinus.engines.capabilities import DirectsToRanks, TellsRanks
from serinus.engines.exposition import read_page
from serinus.errors import SettingsError
from serinus.sim.faults import parse_plan
from serinus.sim.options import EngineName, SimOptions
from tests.sim.client import Client, simulating

BOTH = [EngineName.VLLM, EngineName.SGLANG]


async def tokens(client: Client, engine: EngineName) -> dict[int, float | None]:
    """What the page says that each rank has brought."""
    kind = engine_named(engine)
    assert isinstance(kind, TellsRanks)
    page = await client.get("/metrics")
    counters = kind.rank_counters(read_page(page.text.encode()))
    return {rank: found.tokens for rank, found in counters.items()}


async def directed(client: Client, engine: EngineName, rank: int) -> Any:
    """Send the canary of an engine to a rank, as a sidecar does."""
    kind = engine_named(engine)
    assert isinstance(kind, DirectsToRanks)
    question = kind.directed(kind.canary("tiny"), rank)
    return await client.ask(
        question.method, question.path, data=question.body, headers=dict(question.headers)
    )


@pytest.mark.real_time
@pytest.mark.parametrize("engine", BOTH)
async def test_a_directed_canary_moves_the_counters_of_its_rank_alone(engine: EngineName) -> None:
    """By the engine's own way of asking for a rank, and its own label."""
    async with simulating(engine, ranks=3) as client:
        before = await tokens(client, engine)
        assert list(before) == [0, 1, 2]
        assert (await directed(client, engine, 2)).status == 200
        after = await tokens(client, engine)
        assert [rank for rank in after if after[rank] != before[rank]] == [2]


@pytest.mark.real_time
async def test_one_rank_hangs_and_the_others_do_not() -> None:
    """The server says 200, and what is not directed goes to any of them."""
    async with simulating(EngineName.VLLM, ranks=2) as client:
        client.fault("hang:rank=1")
        assert (await directed(client, EngineName.VLLM, 0)).status == 200
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(directed(client, EngineName.VLLM, 1), 0.3)
        assert (await client.get("/health")).status == 200
        client.clear()
        assert (await directed(client, EngineName.VLLM, 1)).status == 200


@pytest.mark.real_time
async def test_a_rank_that_is_not_there_is_refused() -> None:
    """In vLLM's words."""
    async with simulating(EngineName.VLLM, ranks=2) as client:
        answer = await directed(client, EngineName.VLLM, 7)
        assert answer.status == 400
        assert "data_parallel_rank 7 is out of range [0, 2)." in answer.text


@pytest.mark.real_time
async def test_one_rank_is_as_it_was() -> None:
    """Without ranks a header or a field for one means nothing."""
    async with simulating(EngineName.VLLM) as client:
        assert (await directed(client, EngineName.VLLM, 7)).status == 200


def test_a_fault_of_one_rank_is_written_with_its_number() -> None:
    """Before its value and its times."""
    plan = parse_plan("slow:rank=2=10@30s+20s")
    assert (plan.rank, plan.value, plan.after, plan.seconds) == (2, 10.0, 30.0, 20.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("crash:rank=1", "is of the whole server, and has no rank"),
        ("hang:rank=x", "'x' is not a rank"),
        ("hang:rank", "a fault is written NAME"),
    ],
)
def test_a_rank_that_cannot_be_says_so(text: str, told: str) -> None:
    """And what is accepted."""
    with pytest.raises(SettingsError, match=told):
        parse_plan(text)


def test_the_number_of_ranks_is_checked_with_the_engine_and_the_faults() -> None:
    """Each message names the flag or the fault."""
    with pytest.raises(SettingsError, match="--ranks 4: the engine 'openai' has no ranks"):
        SimOptions(engine=EngineName.OPENAI, ranks=4)
    with pytest.raises(SettingsError, match="there is no rank 2; accepted: 0, 1"):
        SimOptions(ranks=2, faults=(parse_plan("hang:rank=2"),))
    with pytest.raises(SettingsError, match="--ranks 0"):
        SimOptions(ranks=0)
