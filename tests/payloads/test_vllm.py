from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace

import pytest

from serinus.payloads import (
    VllmHealthCheckPayload,
    VllmOmniHealthCheckPayload,
    VllmPrefillHealthCheckPayload,
)
from tests.payloads.engines import OmniClient, Tokenizer, WithoutTokenizer, vllm_shapes

Either = type[VllmHealthCheckPayload]
BOTH = [VllmHealthCheckPayload, VllmPrefillHealthCheckPayload]


def tokens_in(bos: int) -> dict[str, object]:
    return {
        "token_ids": [bos],
        "sampling_options": {"temperature": 0.0},
        "stop_conditions": {
            "max_tokens": 1,
            "stop": None,
            "stop_token_ids": None,
            "include_stop_str_in_output": False,
            "ignore_eos": False,
        },
        "_HEALTH_CHECK": True,
    }


@pytest.mark.parametrize("payload", BOTH)
def test_tokens_in_is_the_contracts_payload(payload: Either) -> None:
    """Aggregated, decode and prefill workers get the same request, key for key."""
    assert payload(environ={}).to_dict() == tokens_in(1)


@pytest.mark.parametrize("payload", BOTH)
def test_text_in_is_the_contracts_payload(payload: Either) -> None:
    """With the engine's own tokenizer in use the request is flat and has a prompt."""
    assert payload(None, True, environ={}).to_dict() == {
        "prompt": "Test",
        "temperature": 0.0,
        "max_tokens": 1,
        "stop": None,
        "stop_token_ids": None,
        "include_stop_str_in_output": False,
        "ignore_eos": False,
        "_HEALTH_CHECK": True,
    }


@pytest.mark.parametrize("shape", vllm_shapes())
def test_the_bos_id_is_found_wherever_the_engine_keeps_it(shape: str) -> None:
    """Every place that vLLM has kept its tokenizer in is looked at."""
    engine = vllm_shapes()[shape]
    assert VllmHealthCheckPayload(engine, environ={}).to_dict() == tokens_in(7)


@pytest.mark.parametrize(
    "engine",
    [
        WithoutTokenizer(),
        object(),
        SimpleNamespace(tokenizer=None),
        SimpleNamespace(tokenizer=Tokenizer(None)),
        SimpleNamespace(tokenizer=SimpleNamespace(bos_token_id="7")),
        SimpleNamespace(tokenizer=SimpleNamespace(bos_token_id=True)),
        SimpleNamespace(tokenizer=SimpleNamespace(bos_token_id=-1)),
        OmniClient(),
        SimpleNamespace(get_tokenizer=lambda: OmniClient().get_tokenizer()),
    ],
    ids=lambda engine: type(engine).__name__,
)
def test_without_a_bos_id_the_canary_uses_one_and_says_so(
    engine: object, caplog: pytest.LogCaptureFixture
) -> None:
    """A lookup that fails is a line in the debug log, never an error."""
    with caplog.at_level(logging.DEBUG, logger="serinus"):
        payload = VllmHealthCheckPayload(engine, environ={})
    assert payload.to_dict() == tokens_in(1)
    assert f"no BOS id found in {type(engine).__name__}; the canary uses 1" in caplog.text


def test_a_bos_id_of_zero_is_an_id() -> None:
    """Zero is not "none"."""
    engine = SimpleNamespace(tokenizer=Tokenizer(0))
    assert VllmHealthCheckPayload(engine, environ={}).to_dict()["token_ids"] == [0]


def test_an_override_wins_over_the_engine() -> None:
    """The owner's payload is sent even where the tokenizer is known."""
    environ = {"DYN_HEALTH_CHECK_PAYLOAD": '{"prompt": "x"}'}
    engine = SimpleNamespace(tokenizer=Tokenizer())
    payload = VllmHealthCheckPayload(engine, environ=environ)
    assert payload.to_dict() == {"prompt": "x", "_HEALTH_CHECK": True}


def test_omni_takes_an_id() -> None:
    """Who knows the id needs no orchestrator."""
    assert VllmOmniHealthCheckPayload(5, environ={}).to_dict() == tokens_in(5)
    assert VllmOmniHealthCheckPayload(environ={}).to_dict() == tokens_in(1)


@pytest.mark.parametrize("shape", vllm_shapes())
async def test_omni_finds_the_id_of_any_engine(shape: str) -> None:
    """An orchestrator may keep its tokenizer as vLLM does."""
    payload = await VllmOmniHealthCheckPayload.create(vllm_shapes()[shape], environ={})
    assert payload.to_dict() == tokens_in(7)


async def test_omni_awaits_the_tokenizer() -> None:
    """The orchestrator's own way is asked first."""
    payload = await VllmOmniHealthCheckPayload.create(OmniClient(Tokenizer(9)), environ={})
    assert payload.to_dict() == tokens_in(9)


@pytest.mark.parametrize("answer", [RuntimeError("no stage yet"), None, Tokenizer(None)])
async def test_omni_falls_back_to_one(answer: object) -> None:
    """An orchestrator without an answer costs nothing but the right id."""
    payload = await VllmOmniHealthCheckPayload.create(OmniClient(answer), environ={})
    assert payload.to_dict() == tokens_in(1)


async def test_omni_waits_for_a_bounded_time() -> None:
    """An orchestrator that never answers does not keep a worker from starting."""

    class Silent:
        async def get_tokenizer(self) -> object:
            return await asyncio.Event().wait()

    started = asyncio.get_running_loop().time()
    payload = await VllmOmniHealthCheckPayload.create(Silent(), environ={})
    assert payload.to_dict() == tokens_in(1)
    assert asyncio.get_running_loop().time() - started == pytest.approx(10.0)


async def test_cancelling_omni_is_not_swallowed() -> None:
    """The lookup forgives errors, not cancellation."""

    class Silent:
        async def get_tokenizer(self) -> object:
            return await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await VllmOmniHealthCheckPayload.create(Silent(), environ={})
