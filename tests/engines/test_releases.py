"""Releases of one engine that differ: what each of them shows is read as what it means.

Pages and answers are written from the releases' sources, as few lines as the difference needs.
"""

from __future__ import annotations

import json

import pytest

from serinus.engines import Blame, Counters, engine_named, progress
from serinus.engines.exposition import read_page
from serinus.engines.recognition import recognised
from serinus.engines.signs import Sighting
from tests.engines.answers import read, sse

PAGES = {
    "vLLM 0.5, the V0 engine: requests can be swapped, and steps are not counted": (
        "vllm",
        """
        vllm:num_requests_running{model_name="m"} 2.0
        vllm:num_requests_waiting{model_name="m"} 1.0
        vllm:num_requests_swapped{model_name="m"} 3.0
        vllm:generation_tokens_total{model_name="m"} 40.0
        vllm:request_success_total{finished_reason="stop",model_name="m"} 5.0
        """,
        Counters(running=2, waiting=4, tokens=40, finished=5),
    ),
    "vLLM 0.8 and later, the V1 engine": (
        "vllm",
        """
        vllm:num_requests_running{engine="0",model_name="m"} 2.0
        vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
        vllm:generation_tokens_total{engine="0",model_name="m"} 40.0
        vllm:iteration_tokens_total_count{engine="0",model_name="m"} 9.0
        vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 5.0
        """,
        Counters(running=2, waiting=1, tokens=40, steps=9, finished=5),
    ),
    "SGLang 0.4.6: nothing moves in the middle, and tokens are counted at the end": (
        "sglang",
        """
        sglang:num_running_reqs{model_name="m"} 2.0
        sglang:num_used_tokens{model_name="m"} 300.0
        sglang:num_queue_reqs{model_name="m"} 1.0
        sglang:generation_tokens_total{model_name="m"} 40.0
        sglang:num_requests_total{model_name="m"} 7.0
        sglang:e2e_request_latency_seconds_count{model_name="m"} 5.0
        """,
        Counters(running=2, waiting=1, finished=5),
    ),
    "SGLang of an exporter that writes no colon": (
        "sglang",
        """
        sglang_num_running_reqs{model_name="m"} 2.0
        sglang_num_queue_reqs{model_name="m"} 0.0
        sglang_realtime_tokens_total{mode="decode",model_name="m"} 40.0
        """,
        Counters(running=2, waiting=0, tokens=40),
    ),
    "llama-server before n_decode_total": (
        "llamacpp",
        """
        llamacpp:requests_processing 2
        llamacpp:requests_deferred 1
        llamacpp:tokens_predicted_total 40
        """,
        Counters(running=2, waiting=1, ended=40),
    ),
    "TGI 2.0 and 3": (
        "tgi",
        """
        tgi_batch_current_size 2
        tgi_queue_size 1
        tgi_batch_inference_success{method="prefill"} 3
        tgi_batch_inference_success{method="decode"} 9
        tgi_request_count 7
        tgi_request_success 5
        """,
        Counters(running=2, waiting=1, steps=12, finished=5),
    ),
    "TensorRT-LLM up to 1.2.1: ends alone": (
        "trtllm",
        """
        trtllm_request_success_total{finished_reason="stop"} 5.0
        """,
        Counters(finished=5),
    ),
}


@pytest.mark.parametrize("release", PAGES)
def test_its_page_is_read_as_this_release_means_it(release: str) -> None:
    """What a release does not have is unknown, and never zero; what it calls otherwise is found."""
    name, text, expected = PAGES[release]
    engine = engine_named(name)
    page = "\n".join(line.strip() for line in text.strip().splitlines()) + "\n"
    assert engine.counters(read_page(page.encode(), names=engine.metric_names)) == expected


@pytest.mark.parametrize("release", PAGES)
def test_a_page_that_cannot_show_the_middle_of_a_request_shows_no_standstill(release: str) -> None:
    """A release whose counters move at an end alone must not be called stalled before it."""
    counters = PAGES[release][2]
    shows = counters.tokens is not None or counters.steps is not None
    assert progress(counters, counters) is (False if shows else None)


def test_vllm_of_old_is_asked_without_a_field_that_it_refuses() -> None:
    """Up to 0.6 a field that is not known is a bad request; then usage counts the token."""
    engine = engine_named("vllm")
    first, second = engine.alternatives("m")
    asked, again = json.loads(first.body), json.loads(second.body)
    assert asked.pop("return_token_ids") is True
    assert again == asked
    refused = (
        "[{'type': 'extra_forbidden', 'loc': ('body', 'return_token_ids'),"
        " 'msg': 'Extra inputs are not permitted', 'input': True}]"
    )
    error = {"object": "error", "message": refused, "type": "BadRequestError", "code": 400}
    answer = read(engine, json.dumps(error).encode(), status=400)
    assert answer.failure is not None
    assert answer.failure.unsupported
    assert answer.failure.blame is Blame.CANARY
    token = {"choices": [{"index": 0, "text": "", "finish_reason": "length"}], "usage": None}
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    answer = read(engine, sse(token, usage), headers={"content-type": "text/event-stream"})
    assert answer.passed
    assert answer.tokens == 1


def test_sglangs_own_health_is_the_one_that_generates_in_every_release() -> None:
    """`/health` is a bare 200 before 0.5, and wherever it is told not to generate."""
    engine = engine_named("sglang")
    assert engine.health_path == "/health_generate"
    assert engine.traits.health_generates


@pytest.mark.parametrize("version", ["2.0.4", "3.3.6"])
def test_tgi_of_every_release_is_known_by_its_info_and_names_its_model_there(version: str) -> None:
    """2.0 has neither `/v1/models` nor the name of its router."""
    told = {
        "model_id": "tiny",
        "max_concurrent_requests": 128,
        "max_best_of": 2,
        "version": version,
        **({"router": "text-generation-router"} if version > "3" else {}),
    }
    page = Sighting("/info", 200, {}, json.dumps(told).encode())
    finding = recognised([Sighting("/v1/models", 404), page])
    assert finding.name == "tgi"
    assert version in str(finding)
    engine = engine_named("tgi")
    assert engine.models_path == "/info"
    assert engine.read_models(page.body) == ("tiny",)


def test_a_server_of_embeddings_is_not_taken_for_tgi() -> None:
    """Its `/info` is much the same, but nothing is sampled there."""
    told = {"model_id": "tiny", "max_concurrent_requests": 512, "version": "1.8.2"}
    page = Sighting("/info", 200, {}, json.dumps(told).encode())
    assert recognised([page]).engine is None
