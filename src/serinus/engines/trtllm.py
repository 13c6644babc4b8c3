"""TensorRT-LLM's server (`trtllm-serve`), asked by token ids. Names of its source, 1.2 and later.

It does not run on a CPU: nothing here was seen on a running one. `/metrics` is JSON, each reading
of which takes the statistics away from the next reader, so it is not read. What is read is
`/prometheus/metrics`, which exists with `return_perf_metrics: true`; its numbers of iterations need
`enable_iter_perf_stats: true` as well. Up to 1.2.1 it has finished requests and latencies alone;
the sources after it add what is running and waiting, and tokens.

No counter moves at every step. `kv_cache_gen_alloc_blocks_total` moves whenever a sequence has
filled a block (32 tokens by default), where the release reports it.
"""

from __future__ import annotations

from dataclasses import dataclass

from serinus.engines.counters import CounterNames
from serinus.engines.openai_api import OpenAiApi, chat, completion
from serinus.engines.protocol import Question
from serinus.engines.signs import Sign, Weight, member, owned_by
from serinus.engines.traits import Abort, Lie, Traits
from serinus.engines.transcripts import TextTranscripts, greedy_chat, greedy_completion

__all__ = ["TrtllmEngine"]

_NAMES = CounterNames(
    running=("trtllm_num_requests_running",),
    waiting=("trtllm_num_requests_waiting",),
    steps=("trtllm_kv_cache_gen_alloc_blocks_total",),
    finished=("trtllm_request_success_total",),
)
_TRAITS = Traits(
    release="1.2.1 and the source after it (not run here)",
    counted="usage, else chunks with output",
    work="active + queued, of the last iteration; unknown without enable_iter_perf_stats",
    names=_NAMES,
    at_end=("trtllm_generation_tokens_total", "trtllm_num_requests_completed_total"),
    lies=(
        Lie("trtllm_num_requests_running", "keeps the value of the last iteration: a frozen"
            " executor has no next one"),
        Lie("/metrics", "is JSON and empties itself: a second reader sees nothing"),
    ),
    abort=Abort(within=1.0),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TrtllmEngine(TextTranscripts, OpenAiApi):
    """The TensorRT-LLM engine. `token_id` is the whole prompt."""

    name: str = "trtllm"
    traits: Traits = _TRAITS
    signs: tuple[Sign, ...] = (
        owned_by("tensorrt_llm"),
        member("/version", "version", told="version", weight=Weight.MENTION),
    )
    metrics_path: str | None = "/prometheus/metrics"
    token_id: int = 1

    def alternatives(self, model: str) -> tuple[Question, ...]:
        """Return a text completion of ids, then a chat for models that speak Harmony alone."""
        usage = {"stream_options": {"include_usage": True}}
        return completion(model, [self.token_id], usage), chat(model, usage)

    def greedy(self, model: str, prompt: str, *, tokens: int) -> tuple[Question, ...]:
        """Return a completion with the log-probability of each token, one without, and a chat.

        Its PyTorch backend tells of one token a place, so there are no margins (1.2, source).
        """
        more = {"ignore_eos": True}
        return (
            greedy_completion(model, prompt, tokens, {**more, "logprobs": 1}),
            greedy_completion(model, prompt, tokens, more),
            greedy_chat(model, prompt, tokens, {}),
        )
