"""Anything that speaks OpenAI's API, asked by text.

The metrics page is read where there is one, under the names of the servers that are known here;
on another server's page every number is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

from serinus.engines.completions import CompletionReader, question
from serinus.engines.counters import CounterNames, Counters, Samples, read_counters
from serinus.engines.listing import read_model_list
from serinus.engines.protocol import Question
from serinus.engines.traits import Traits

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
)
_TRAITS = Traits(
    release="any",
    counted="usage or ids where the server gives them, else chunks with output",
    work="what the page of a known server says; without a page, nobody can tell",
    names=_NAMES,
    at_end=("sglang:generation_tokens_total", "llamacpp:tokens_predicted_total"),
)


@dataclass(frozen=True, slots=True)
class OpenAiEngine:
    """An OpenAI-compatible server: SGLang, llama-server, `transformers serve`, TGI and others."""

    name: str = "openai"
    traits: Traits = _TRAITS
    models_path: str = "/v1/models"
    health_path: str = "/health"
    health_is_free: bool = False  # SGLang's generates: a second and a request, every time
    metrics_path: str | None = "/metrics"
    metric_names: frozenset[str] = _NAMES.all

    def read_models(self, body: bytes) -> tuple[str, ...]:
        """Return the model ids."""
        return read_model_list(body)

    def canary(self, model: str) -> Question:
        """Return the question that most servers take: a text completion."""
        return self.alternatives(model)[0]

    def alternatives(self, model: str) -> tuple[Question, ...]:
        """Return a text completion, then a chat for servers that have only that.

        Both keep to the fields that every server knows: `transformers serve` refuses others.
        """
        common = {"model": model, "max_tokens": 1, "temperature": 0, "stream": True}
        chat = [{"role": "user", "content": "Test"}]
        return (
            question("/v1/completions", {**common, "prompt": "Test"}),
            question("/v1/chat/completions", {**common, "messages": chat}),
        )

    def answer_reader(self) -> CompletionReader:
        """Return a new reader; it reads both shapes."""
        return CompletionReader()

    def counters(self, samples: Samples) -> Counters:
        """Return what the page says under any of the names that are known."""
        return read_counters(samples, _NAMES)
