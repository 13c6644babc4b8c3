"""SGLang, llama-server and `transformers serve` as the simulator has them: where they differ."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from serinus.engines import Counters, engine_named, progress
from serinus.engines.exposition import read_page
from serinus.sim.options import EngineName
from tests.sim.client import simulating

pytestmark = pytest.mark.real_time

NEW = [EngineName.SGLANG, EngineName.LLAMACPP, EngineName.TRANSFORMERS]


@pytest.mark.parametrize("engine", NEW)
async def test_it_answers_the_canary_of_its_engine_with_one_token(engine: EngineName) -> None:
    """What the sidecar asks of the real one is understood, and counted."""
    kind = engine_named(engine)
    question = kind.canary("tiny")
    async with simulating(engine) as client:
        answer = await client.ask("POST", question.path, json=json.loads(question.body))
    reader = kind.answer_reader()
    reader.start(answer.status, answer.headers)
    reader.feed(answer.text.encode())
    reader.end()
    assert reader.answer.passed, reader.answer.failure
    assert reader.answer.tokens == 1


async def test_sglangs_health_generates_for_a_second() -> None:
    """200 after one look, a second later; the token that it made is in no count of requests."""
    async with simulating(EngineName.SGLANG) as client:
        began = time.monotonic()
        assert (await client.get("/health")).status == 200
        assert time.monotonic() - began >= 1.0
        page = (await client.get("/metrics")).text
        assert 'sglang:e2e_request_latency_seconds_count{engine_type="unified"' in page
        kind = engine_named("sglang")
        counters = kind.counters(read_page(page.encode(), names=kind.metric_names))
        assert counters.finished == 0
        assert counters.tokens
        assert counters.tokens >= 1


async def test_sglangs_tokens_are_counted_twice_in_time_and_at_the_end() -> None:
    """`realtime_tokens_total` moves in the middle of a request, `generation_tokens_total` after."""
    kind = engine_named("sglang")
    async with simulating(EngineName.SGLANG) as client:
        asking = asyncio.create_task(client.complete(max_tokens=200, ignore_eos=True))
        readings: list[tuple[Counters, float, bool]] = []
        while not asking.done() or not readings:
            page = (await client.get("/metrics")).text
            lines = [one for one in page.splitlines() if one.startswith("sglang:generation")]
            counters = kind.counters(read_page(page.encode(), names=kind.metric_names))
            readings.append((counters, float(lines[0].rsplit(" ", 1)[1]), asking.done()))
            await asyncio.sleep(0.01)
        await asking
    middle = [one for one in readings if one[0].tokens and not one[2]]
    assert any(progress(first[0], later[0]) for first in middle for later in middle)
    assert {ended for _, ended, _ in middle} <= {0.0, 200.0}


async def test_llama_servers_pages_hang_with_its_main_loop_and_its_health_does_not() -> None:
    """200 from /health; /metrics and /slots answer after the thaw."""
    async with simulating(EngineName.LLAMACPP) as client:
        assert (await client.get("/slots")).json[0] == {"id": 0, "is_processing": False}
        assert (await client.get("/health")).headers["server"] == "llama.cpp"
        client.fault("hang")
        pages = [asyncio.create_task(client.get(path)) for path in ("/metrics", "/slots")]
        assert (await client.get("/health")).status == 200
        done, _ = await asyncio.wait(pages, timeout=0.5)
        assert not done
        client.clear()
        assert [(await page).status for page in pages] == [200, 200]


async def test_transformers_serve_has_no_metrics_takes_no_ids_and_says_no_done() -> None:
    """And its health says 200 while it hangs."""
    async with simulating(EngineName.TRANSFORMERS) as client:
        assert (await client.get("/metrics")).status == 404
        assert (await client.complete(prompt=[1])).status == 400
        answer = await client.complete(max_tokens=1, stream=True)
        assert "[DONE]" not in answer.events
        assert json.loads(answer.events[-1])["usage"]["completion_tokens"] == 1
        client.fault("hang")
        assert (await client.get("/health")).status == 200
