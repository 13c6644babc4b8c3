from __future__ import annotations

from types import SimpleNamespace

import pytest

from serinus.errors import SettingsError
from serinus.payloads import (
    SglangDisaggHealthCheckPayload,
    SglangHealthCheckPayload,
    SglangImageDiffusionHealthCheckPayload,
    SglangPrefillHealthCheckPayload,
)
from tests.payloads.engines import Tokenizer, sglang_engine

FLAT = {
    "stop_conditions": {"max_tokens": 1, "ignore_eos": False},
    "sampling_options": {"temperature": 0.0, "top_p": 1.0, "top_k": -1},
    "eos_token_ids": [],
    "annotations": [],
    "_HEALTH_CHECK": True,
}
SAMPLING_PARAMS = {
    "max_new_tokens": 1,
    "temperature": 0.0,
    "top_p": 1.0,
    "top_k": -1,
    "ignore_eos": False,
}


def test_an_aggregated_worker_gets_the_contracts_payload() -> None:
    """By token ids, or by text."""
    payload = SglangHealthCheckPayload(environ={})
    assert payload.to_dict() == {"token_ids": [1], **FLAT}
    assert SglangHealthCheckPayload(None, True, environ={}).to_dict() == {"prompt": "Test", **FLAT}


def test_the_bos_id_comes_from_the_tokenizer_manager() -> None:
    """SGLang's engine keeps its tokenizer there."""
    payload = SglangHealthCheckPayload(sglang_engine(), environ={})
    assert payload.to_dict() == {"token_ids": [7], **FLAT}


@pytest.mark.parametrize(
    "engine", [object(), sglang_engine(tokenizer=Tokenizer(None)), SimpleNamespace()]
)
def test_without_a_bos_id_the_canary_uses_one(engine: object) -> None:
    """An engine without a tokenizer, or a tokenizer without the id, is no error."""
    assert SglangHealthCheckPayload(engine, environ={}).to_dict()["token_ids"] == [1]


def test_a_prefill_workers_request_is_wrapped() -> None:
    """The form of the older handlers: request and sampling_params, and nothing beside them."""
    payload = SglangPrefillHealthCheckPayload(sglang_engine(), environ={})
    assert payload.to_dict() == {
        "request": {"token_ids": [7]},
        "sampling_params": SAMPLING_PARAMS,
        "_HEALTH_CHECK": True,
    }


def test_a_prefill_workers_request_may_be_text() -> None:
    """The wrapped form of it."""
    payload = SglangPrefillHealthCheckPayload(None, True, environ={})
    assert payload.to_dict() == {
        "request": {"prompt": "Test"},
        "sampling_params": SAMPLING_PARAMS,
        "_HEALTH_CHECK": True,
    }


@pytest.mark.parametrize(
    ("engine", "port", "bos"),
    [
        (None, 0, 1),
        (sglang_engine(), 8998, 7),
        (sglang_engine(port=None), 0, 7),
        (SimpleNamespace(server_args=SimpleNamespace(disaggregation_bootstrap_port=5)), 5, 1),
    ],
)
def test_the_newer_form_has_a_bootstrap_without_a_peer(engine: object, port: int, bos: int) -> None:
    """Fake host, the engine's own port, room 0; the disaggregated class builds the same."""
    expected = {
        "token_ids": [bos],
        **FLAT,
        "bootstrap_info": {
            "bootstrap_host": "2.2.2.2",
            "bootstrap_port": port,
            "bootstrap_room": 0,
        },
    }
    prefill = SglangPrefillHealthCheckPayload(engine, form="bootstrap", environ={})
    assert prefill.to_dict() == expected
    assert SglangDisaggHealthCheckPayload(engine, environ={}).to_dict() == expected


def test_the_newer_form_may_be_text() -> None:
    """Text in place of the ids, the rest as it is."""
    payload = SglangDisaggHealthCheckPayload(None, True, environ={}).to_dict()
    assert payload["prompt"] == "Test"
    assert "token_ids" not in payload


def test_an_unknown_form_is_an_error_that_lists_the_known_ones() -> None:
    """A misspelt form never becomes a canary that the handler cannot read."""
    with pytest.raises(SettingsError) as raised:
        SglangPrefillHealthCheckPayload(form="flat", environ={})
    assert str(raised.value) == "form: 'flat' is not known; accepted: wrapped, bootstrap"


def test_image_diffusion_asks_for_one_small_image() -> None:
    """The contract's payload, key for key."""
    payload = SglangImageDiffusionHealthCheckPayload("/models/flux", environ={})
    assert payload.to_dict() == {
        "prompt": "test",
        "model": "/models/flux",
        "n": 1,
        "size": "512x512",
        "num_inference_steps": 1,
        "guidance_scale": 7.5,
        "response_format": "b64_json",
        "_HEALTH_CHECK": True,
    }
