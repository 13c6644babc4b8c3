"""Greedy answers of a simulated engine: the same each time, with log-probabilities if asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serinus.core.transcript import Transcript, Unit
from serinus.engines import engine_named
from serinus.engines.capabilities import Transcribes
from serinus.sim import words
from serinus.sim.options import EngineName
from tests.sim.client import Client, simulating

pytestmark = pytest.mark.real_time


async def transcript(client: Client, kind: str, prompt: str, *, tokens: int = 24) -> Transcript:
    """Ask in the best way that the flavour takes, as the sidecar does."""
    engine = engine_named(kind)
    assert isinstance(engine, Transcribes)
    for question in engine.greedy("tiny", prompt, tokens=tokens):
        body = {**json.loads(question.body), "ignore_eos": True}
        answer = await client.ask("POST", question.path, json=body)
        if answer.status == 200:
            reader = engine.transcript_reader()
            reader.start(200, answer.headers)
            reader.feed(answer.text.encode())
            reader.end()
            assert reader.answer.passed, reader.answer.failure
            return reader.transcript
    raise AssertionError("no way is taken")


async def test_vllm_tells_ids_log_probabilities_and_margins() -> None:
    """In the shape of a real one (tests/engines/fixtures)."""
    async with simulating() as client:
        said = await transcript(client, "vllm", "the engine")
        prompt = words.token_ids("the engine")
        expected = [words.said(prompt, place) for place in range(24)]
        assert said.tokens == tuple(one.token for one in expected)
        assert said.logprobs == tuple(one.logprob for one in expected)
        assert said.margins == pytest.approx([one.logprob - one.rival_logprob for one in expected])
        assert said.by is Unit.ID
        assert await transcript(client, "vllm", "the engine") == said
        assert await transcript(client, "vllm", "another") != said


@pytest.mark.parametrize(
    ("kind", "unit", "numbers"),
    [
        ("sglang", Unit.TEXT, True),
        ("llamacpp", Unit.TEXT, True),
        ("openai", Unit.TEXT, True),
        ("transformers", Unit.CHARACTER, False),
    ],
)
async def test_each_flavour_tells_what_it_can(kind: str, unit: Unit, numbers: bool) -> None:
    """The same answer to the same prompt."""
    async with simulating(EngineName(kind)) as client:
        said = await transcript(client, kind, "the engine")
        assert said.by is unit
        assert (said.logprobs is not None) is numbers
        assert await transcript(client, kind, "the engine") == said


async def test_a_chat_tells_a_list_of_tokens() -> None:
    """As OpenAI's API has it."""
    async with simulating() as client:
        body: dict[str, Any] = {
            "model": "tiny",
            "messages": [{"role": "user", "content": "the"}],
            "max_tokens": 3,
            "logprobs": True,
            "top_logprobs": 2,
        }
        answer = await client.ask("POST", "/v1/chat/completions", json=body)
        listed = answer.json["choices"][0]["logprobs"]["content"]
        assert [len(one["top_logprobs"]) for one in listed] == [2, 2, 2]
        assert all(one["logprob"] <= 0 for one in listed)
        plain = await client.ask("POST", "/v1/chat/completions", json={**body, "logprobs": False})
        assert plain.json["choices"][0]["logprobs"] is None


async def test_nan_is_null_and_token_nought() -> None:
    """As vLLM writes it (pydantic has no NaN in JSON), and says it ('!' in many tokenizers)."""
    async with simulating() as client:
        client.fault("nan")
        said = await transcript(client, "vllm", "the engine")
        assert said.numberless
        assert set(said.tokens) == {words.GARBAGE}


async def test_repeat_goes_on_with_the_last_token() -> None:
    """An answer that begins under it has its first token right."""
    async with simulating() as client:
        right = await transcript(client, "vllm", "the engine")
        client.fault("repeat")
        said = await transcript(client, "vllm", "the engine")
        assert set(said.tokens) == {right.tokens[0]}


async def test_drift_is_another_model() -> None:
    """Every fifth token, and all log-probabilities by the value."""
    async with simulating() as client:
        right = await transcript(client, "vllm", "the engine")
        client.fault("drift=0.5")
        said = await transcript(client, "vllm", "the engine")
        differs = [place for place in range(24) if said.tokens[place] != right.tokens[place]]
        assert differs == [4, 9, 14, 19]
        assert said.logprobs is not None
        assert right.logprobs is not None
        assert said.logprobs[0] == pytest.approx(right.logprobs[0] - 0.5)


async def test_noise_needs_company() -> None:
    """Alone, the answer is the same; beside another one near ties fall the other way."""
    async with simulating() as client:
        client.fault("noise=0.3")
        right = await transcript(client, "vllm", "the engine")
        assert right == await transcript(client, "vllm", "the engine")
        client.fault("saturate=1")
        assert (await transcript(client, "vllm", "the engine")).logprobs != right.logprobs
