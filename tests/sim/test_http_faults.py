"""Each fault as a client of the port sees it, and what the engine's own health says meanwhile."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import aiohttp
import pytest

from serinus.sim.options import EngineName
from tests.sim.client import LONG, QUICK, Client, simulating, until

pytestmark = pytest.mark.real_time

BOTH = pytest.mark.parametrize("engine", [EngineName.VLLM, EngineName.OPENAI])


async def hangs(client: Client, *, seconds: float = 0.2) -> bool:
    """Say whether a request for one token gets no answer in time."""
    try:
        async with asyncio.timeout(seconds):
            await client.complete()
    except TimeoutError:
        return True
    return False


@BOTH
async def test_a_hung_engine_says_it_is_well_and_answers_nobody(engine: EngineName) -> None:
    """`/health` 200 and the model listed, for as long as no token comes."""
    async with simulating(engine) as client:
        client.fault("hang")
        assert await hangs(client)
        assert (await client.get("/health")).status == 200
        assert (await client.get("/v1/models")).json["data"][0]["id"] == "tiny"
        client.clear()
        assert (await client.complete()).status == 200


async def test_a_request_to_a_hung_engine_is_in_no_metric() -> None:
    """Running 0, waiting 0, tokens still: the page of an idle engine."""
    async with simulating() as client:
        client.fault("hang")
        asking = asyncio.create_task(client.complete())
        await until(lambda: client.simulator.engine.unseen == 1)
        names = ("num_requests_running", "num_requests_waiting", "generation_tokens_total")
        assert [await client.gauge(name) for name in names] == [0, 0, 0]
        client.clear()
        assert (await asking).status == 200
        assert await client.gauge("generation_tokens_total") == 1


async def test_a_hung_engine_has_already_sent_the_status_of_a_stream() -> None:
    """Headers are no proof: 200 at once, and no event until the hang is over."""
    async with simulating() as client:
        client.fault("hang")
        url = client.simulator.url + "/v1/completions"
        async with client.session.post(url, json={**LONG, "max_tokens": 2, "stream": True}) as held:
            assert held.status == 200
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await held.content.readany()
            client.clear()
            assert b"[DONE]" in await held.read()


async def test_a_stalled_engine_shows_its_work_and_no_progress() -> None:
    """Running stays up, and the counter of tokens stands still."""
    async with simulating() as client:
        client.fault("stall")
        asking = asyncio.create_task(client.complete())
        await until(lambda: client.simulator.engine.running == 1)
        await asyncio.sleep(0.05)
        assert await client.gauge("num_requests_running") == 1
        assert await client.gauge("generation_tokens_total") == 0
        assert (await client.get("/health")).status == 200
        client.clear()
        assert (await asking).status == 200


@BOTH
async def test_a_failing_engine_answers_500_and_is_well(engine: EngineName) -> None:
    """An error for a request, an error item in a stream, and `/health` 200."""
    async with simulating(engine) as client:
        client.fault("error")
        for answer in (await client.complete(), await client.chat()):
            assert answer.status == 500
            assert "error" in answer.json
        stream = await client.complete(stream=True)
        assert stream.status == 200
        assert "error" in json.loads(stream.events[0])
        assert (await client.get("/health")).status == 200


@BOTH
async def test_an_error_can_come_in_the_middle_of_a_stream(engine: EngineName) -> None:
    """Tokens first, then an error item."""
    async with simulating(engine) as client:
        asking = asyncio.create_task(client.complete(**{**LONG, "stream": True}))
        await until(lambda: client.simulator.engine.running == 1)
        await asyncio.sleep(0.05)
        client.fault("error")
        *events, last = [each for each in (await asking).events if each != "[DONE]"]
        assert len(events) > 1
        assert "error" in json.loads(last)


@BOTH
async def test_an_empty_answer_is_polite(engine: EngineName) -> None:
    """200, a stop, no token: only who counts tokens notices."""
    async with simulating(engine) as client:
        client.fault("empty")
        whole = (await client.complete()).json
        assert whole["choices"][0]["text"] == ""
        assert whole["choices"][0]["finish_reason"] == "stop"
        assert whole["usage"]["completion_tokens"] == 0
        assert (await client.complete(stream=True)).events == ["[DONE]"]
        chat = (await client.chat(stream=True)).events
        assert len(chat) == 2
        assert json.loads(chat[0])["choices"][0]["delta"] == {"role": "assistant", "content": ""}


@BOTH
async def test_garbage_has_the_right_form_and_the_right_counts(engine: EngineName) -> None:
    """Only the text is wrong."""
    async with simulating(engine) as client:
        client.fault("garbage")
        answer = (await client.complete(max_tokens=4)).json
        assert answer["choices"][0]["text"] == "!!!!"
        assert answer["usage"]["completion_tokens"] == 4


async def test_a_partial_answer_begins_and_does_not_go_on() -> None:
    """One event with one token, and then nothing until the fault is over."""
    async with simulating() as client:
        client.fault("partial")
        url = client.simulator.url + "/v1/completions"
        async with client.session.post(url, json={**LONG, "max_tokens": 3, "stream": True}) as held:
            first = await held.content.readuntil(b"\n\n")
            assert b'"text"' in first
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await held.content.readany()
            client.clear()
            assert b"[DONE]" in await held.read()
        client.fault("partial")
        assert (await client.complete()).status == 200  # one token is all that was asked for


async def test_slow_takes_its_factor_longer() -> None:
    """A step of 5 ms becomes one of 200 ms."""
    async with simulating() as client:
        client.fault("slow=40")
        began = asyncio.get_running_loop().time()
        assert (await client.complete()).status == 200
        assert asyncio.get_running_loop().time() - began >= 0.19


async def test_a_refusing_engine_has_no_port_and_then_has_it_back() -> None:
    """Connections are refused, idle ones are closed, and the same port comes back by itself."""
    async with simulating() as client:
        url = client.simulator.url
        assert (await client.get("/health")).status == 200  # leaves a connection open
        client.fault("refuse+400ms")
        await client.once_shut()
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get("/health")
        await client.once_open()
        assert (await client.get("/health")).status == 200
        assert client.simulator.url == url


async def test_a_stream_under_way_outlives_a_refusal() -> None:
    """Only new connections are refused, and the old one is closed when its answer is done."""
    async with simulating() as client:
        answer = asyncio.create_task(client.complete(max_tokens=200, stream=True, ignore_eos=True))
        await until(lambda: client.simulator.engine.running == 1)
        client.fault("refuse")
        await client.once_shut()
        assert not answer.done()
        assert (await answer).events[-1] == "[DONE]"
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get("/health")


async def test_a_frozen_page_stands_still_while_the_engine_works() -> None:
    """The page of the moment the fault began, and the true one after it."""
    async with simulating() as client:
        await client.complete(max_tokens=3)
        client.fault("frozen-metrics")
        before = (await client.get("/metrics")).text
        await client.complete(max_tokens=5)
        assert (await client.get("/metrics")).text == before
        assert await client.gauge("generation_tokens_total") == 3
        client.clear()
        assert await client.gauge("generation_tokens_total") == 8


async def test_a_saturated_engine_is_busy_and_not_hung() -> None:
    """All slots and a queue, tokens flowing, and a request that waits behind them."""
    async with simulating() as client:
        client.fault("saturate")
        assert await hangs(client)
        assert await client.gauge("num_requests_running") == 2
        before = await client.gauge("generation_tokens_total")
        await asyncio.sleep(0.1)
        assert await client.gauge("generation_tokens_total") > before
        assert (await client.get("/health")).status == 200


@BOTH
async def test_a_full_queue_answers_503(engine: EngineName) -> None:
    """Beyond the slots and the queue nobody is taken in."""
    async with simulating(engine) as client:
        client.fault("saturate=4")
        await until(lambda: client.simulator.engine.waiting == 4)
        answer = await client.complete()
        assert answer.status == 503
        assert "error" in answer.json


async def test_a_crash_is_what_the_owner_says_it_is() -> None:
    """The process would end here; the whole of it is tried with the command."""
    async with simulating() as client:
        crashed = asyncio.Event()
        client.simulator._die = crashed.set
        client.fault("crash")
        async with asyncio.timeout(5):
            await crashed.wait()


@BOTH
@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_away_frees_its_slot(engine: EngineName, stream: bool) -> None:
    """Closing the connection aborts the generation, in a slot or in the queue."""
    async with simulating(engine, replace(QUICK, slots=1)) as client:
        asking = [
            asyncio.create_task(client.complete(**{**LONG, "stream": stream})) for _ in range(3)
        ]
        engine_of = client.simulator.engine
        await until(lambda: (engine_of.running, engine_of.waiting) == (1, 2))
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await until(lambda: engine_of.running == engine_of.waiting == 0)
        assert (await client.complete()).status == 200
