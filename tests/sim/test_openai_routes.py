"""The plain server of OpenAI's API: what it has, and what it has not."""

from __future__ import annotations

import json

import pytest

from serinus.sim.options import EngineName
from tests.sim.client import simulating

pytestmark = pytest.mark.real_time

OPENAI = EngineName.OPENAI


async def test_it_has_a_health_and_a_list_of_models() -> None:
    """The two pages that such servers share."""
    async with simulating(OPENAI) as client:
        assert (await client.get("/health")).status == 200
        (card,) = (await client.get("/v1/models")).json["data"]
        assert (card["id"], card["object"]) == ("tiny", "model")


@pytest.mark.parametrize("path", ["/metrics", "/ping", "/load", "/version"])
async def test_it_has_none_of_vllms_pages(path: str) -> None:
    """404, with an error of OpenAI's form."""
    async with simulating(OPENAI) as client:
        answer = await client.get(path)
        assert answer.status == 404
        assert answer.json["error"]["type"] == "invalid_request_error"


async def test_it_takes_no_token_ids_and_wants_the_model_named() -> None:
    """400 for both, naming the parameter."""
    async with simulating(OPENAI) as client:
        for fields, param in (({"prompt": [1, 5]}, "prompt"), ({"model": None}, "model")):
            answer = await client.complete(**fields)
            assert answer.status == 400
            assert answer.json["error"]["param"] == param
        assert (await client.complete(model="nobody")).status == 404


async def test_a_wrong_method_is_told_the_right_one() -> None:
    """405 with `Allow`."""
    async with simulating(OPENAI) as client:
        answer = await client.get("/v1/completions")
        assert (answer.status, answer.headers["allow"]) == (405, "POST")


async def test_a_stream_tells_its_end_in_an_event_without_a_token() -> None:
    """Tokens, then the reason alone, then the counts if asked for, then the mark."""
    async with simulating(OPENAI) as client:
        answer = await client.chat(
            max_tokens=2, stream=True, stream_options={"include_usage": True}
        )
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *events, done = answer.events
    assert done == "[DONE]"
    *chunks, usage = [json.loads(each) for each in events]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert deltas[-1] == {}
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None, None, None, "length"]
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 2)


async def test_an_answer_in_one_piece_has_the_fields_of_the_api_and_no_more() -> None:
    """None of vLLM's extras."""
    async with simulating(OPENAI) as client:
        answer = (await client.complete(max_tokens=3)).json
        assert set(answer) == {"id", "object", "created", "model", "choices", "usage"}
        assert set(answer["choices"][0]) == {"index", "text", "logprobs", "finish_reason"}
        assert answer["usage"]["completion_tokens"] == 3
