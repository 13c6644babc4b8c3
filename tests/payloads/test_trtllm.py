from __future__ import annotations

from enum import Enum
from types import SimpleNamespace

import pytest

from serinus.errors import SettingsError
from serinus.payloads import TrtllmHealthCheckPayload
from tests.payloads.engines import BareTokenizer, Tokenizer


class Mode(Enum):
    """As the reference's enum has it."""

    AGGREGATED = "prefill_and_decode"
    PREFILL = "prefill"
    DECODE = "decode"
    ENCODE = "encode"


def expected(bos: int) -> dict[str, object]:
    return {
        "token_ids": [bos],
        "stop_conditions": {
            "max_tokens": 1,
            "stop": None,
            "stop_token_ids": None,
            "include_stop_str_in_output": False,
            "ignore_eos": False,
            "min_tokens": 0,
        },
        "sampling_options": {
            "temperature": 0.0,
            "top_p": 1.0,
            "top_k": 1,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "seed": None,
        },
        "_HEALTH_CHECK": True,
    }


@pytest.mark.parametrize("mode", [None, "agg", "aggregated", "prefill_and_decode", Mode.AGGREGATED])
def test_an_aggregated_worker_gets_the_contracts_payload(mode: object) -> None:
    """Key for key, and with nothing about a peer."""
    assert TrtllmHealthCheckPayload(None, mode, environ={}).to_dict() == expected(1)


@pytest.mark.parametrize("mode", ["prefill", "decode", "PREFILL", Mode.PREFILL, Mode.DECODE])
def test_prefill_and_decode_need_no_peer(mode: object) -> None:
    """Both halves are asked for context and generation in one."""
    assert TrtllmHealthCheckPayload(None, mode, environ={}).to_dict() == {
        **expected(1),
        "disaggregated_params": {"request_type": "context_and_generation"},
    }


@pytest.mark.parametrize("tokenizer", [BareTokenizer(), Tokenizer()])
def test_the_bos_id_is_that_of_the_wrapped_tokenizer_or_of_the_bare_one(tokenizer: object) -> None:
    """TensorRT-LLM wraps the real tokenizer, but not always."""
    assert TrtllmHealthCheckPayload(tokenizer, environ={}).to_dict() == expected(7)


def test_without_a_bos_id_the_canary_uses_one() -> None:
    """A tokenizer without the id is no error."""
    assert TrtllmHealthCheckPayload(SimpleNamespace(), environ={}).to_dict() == expected(1)


@pytest.mark.parametrize("mode", ["encode", "encoder", Mode.ENCODE])
def test_an_encoder_has_no_payload(mode: object) -> None:
    """It brings no token: `for_mode` gives None, and the constructor says what to do."""
    assert TrtllmHealthCheckPayload.for_mode(mode) is None
    with pytest.raises(SettingsError, match="health_check_payload=None"):
        TrtllmHealthCheckPayload(None, mode, environ={})


def test_for_mode_builds_what_the_constructor_builds() -> None:
    """Two ways, one payload."""
    built = TrtllmHealthCheckPayload.for_mode("decode", BareTokenizer(), environ={})
    assert built is not None
    direct = TrtllmHealthCheckPayload(BareTokenizer(), "decode", environ={})
    assert built.to_dict() == direct.to_dict()


def test_an_unknown_mode_is_an_error_that_lists_the_known_ones() -> None:
    """A misspelt mode never becomes an aggregated worker's canary."""
    with pytest.raises(SettingsError) as raised:
        TrtllmHealthCheckPayload(None, "prefil", environ={})
    assert str(raised.value) == (
        "disaggregation_mode: 'prefil' is not known; accepted: aggregated, prefill, decode, encode"
    )
