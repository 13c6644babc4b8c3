"""vLLM's OpenAI server (`vllm serve`), asked by token ids. Names as of 0.32.

What it does not tell: while its EngineCore is frozen, a waiting request is in no metric, and its
`/health` says 200. During the prefill of one long prompt nothing on the page moves.
"""

from __future__ import annotations

from dataclasses import dataclass

from serinus.engines.completions import CompletionReader, question
from serinus.engines.counters import CounterNames, Counters, Samples, read_counters
from serinus.engines.listing import read_model_list
from serinus.engines.protocol import Question
from serinus.engines.traits import Lie, Traits

__all__ = ["VllmEngine"]

_NAMES = CounterNames(
    running=("vllm:num_requests_running",),
    waiting=("vllm:num_requests_waiting",),
    tokens=("vllm:generation_tokens_total",),
    steps=("vllm:iteration_tokens_total_count",),
    finished=("vllm:request_success_total",),
)
_TRAITS = Traits(
    release="0.32 (recorded); the names are the same since the V1 engine of 0.8",
    counted="usage, or the ids of the answer (return_token_ids): a token's text can be empty",
    work="running + waiting, as the scheduler last said",
    names=_NAMES,
    lies=(
        Lie("vllm:num_requests_running", "and waiting stay at 0 while EngineCore is frozen"),
        Lie("/health", "says 200 while EngineCore or a worker is frozen"),
    ),
)


@dataclass(frozen=True, slots=True)
class VllmEngine:
    """The vLLM engine. `token_id` is the whole prompt: the BOS id where it is known, else 1."""

    name: str = "vllm"
    traits: Traits = _TRAITS
    models_path: str = "/v1/models"
    health_path: str = "/health"
    health_is_free: bool = True
    metrics_path: str | None = "/metrics"
    metric_names: frozenset[str] = _NAMES.all
    token_id: int = 1

    def read_models(self, body: bytes) -> tuple[str, ...]:
        """Return the model ids, base models before LoRA adapters."""
        return read_model_list(body)

    def canary(self, model: str) -> Question:
        """Return the question for one token."""
        return self.alternatives(model)[0]

    def alternatives(self, model: str) -> tuple[Question, ...]:
        """Return the one way there is: ids need neither tokenizer nor chat template.

        The ids of the answer are asked for, because one token's text can be empty.
        """
        body = {
            "model": model,
            "prompt": [self.token_id],
            "max_tokens": 1,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_token_ids": True,
        }
        return (question("/v1/completions", body),)

    def answer_reader(self) -> CompletionReader:
        """Return a new reader."""
        return CompletionReader()

    def counters(self, samples: Samples) -> Counters:
        """Return the sums over data-parallel engines and models; aborted requests do not count."""
        return read_counters(samples, _NAMES)
