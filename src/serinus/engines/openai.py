"""Anything that speaks OpenAI's API, asked by text.

The metrics page is read where there is one, under the names of servers that are known here; on
another server's page every number is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

from serinus.engines.counters import CounterNames
from serinus.engines.openai_api import OpenAiApi
from serinus.engines.signs import Sign, lists_models
from serinus.engines.traits import Pace, Traits
from serinus.engines.transcripts import TextTranscripts

__all__ = ["OpenAiEngine"]

_NAMES = CounterNames(
    running=(
        "sglang:num_running_reqs",
        "llamacpp:requests_processing",
        "tgi_batch_current_size",
        "vllm:num_requests_running",
    ),
    waiting=(
        "sglang:num_queue_reqs",
        "llamacpp:requests_deferred",
        "tgi_queue_size",
        "vllm:num_requests_waiting",
    ),
    tokens=("sglang:realtime_tokens_total", "vllm:generation_tokens_total"),
    steps=(
        "llamacpp:n_decode_total",
        "tgi_batch_inference_success",
        "vllm:iteration_tokens_total_count",
    ),
    finished=(
        "sglang:e2e_request_latency_seconds_count",
        "tgi_request_success",
        "vllm:request_success_total",
    ),
    prompts=("vllm:prompt_tokens_total",),
    gaps=("vllm:inter_token_latency_seconds_count",),
    gap_seconds=("vllm:inter_token_latency_seconds_sum",),
)
_TRAITS = Traits(
    release="any",
    counted="usage or ids where the server gives them, else chunks with output",
    work="what the page of a known server says; without a page, nobody can tell",
    names=_NAMES,
    pace=Pace.OWN_BY_STEP,  # of vLLM's page; those of others by their own names
    at_end=("sglang:generation_tokens_total", "llamacpp:tokens_predicted_total"),
)


@dataclass(frozen=True, slots=True)
class OpenAiEngine(TextTranscripts, OpenAiApi):
    """An OpenAI-compatible server that has no module of its own."""

    name: str = "openai"
    traits: Traits = _TRAITS
    signs: tuple[Sign, ...] = (lists_models(),)
    health_is_free: bool = False  # who knows: SGLang's generates
