"""vLLM's OpenAI server (`vllm serve`), asked by token ids. Names as of 0.32.

What it does not tell: while its EngineCore is frozen, a waiting request is in no metric, and its
`/health` says 200. During the prefill of one long prompt nothing on the page moves.

While it sleeps (`/sleep`) or is paused (`/pause`) its `/health` says 200, new requests get no
answer and are in no metric. Of sleep its page tells, `/is_sleeping` of both, and that page is there
with `VLLM_SERVER_DEV_MODE=1` alone, as are the routes that put it to sleep.

A step is counted where it gives a token, and each request has one time from token to token in it,
or is reading its prompt, which `prompt_tokens_total` has only when it is read. Those times are of
the engine's core, by its own clock (0.32, source). Older releases call them otherwise
(`time_per_output_token_seconds`) and are not measured.

Versions: the V0 engine (to 0.8) also counts `num_requests_swapped`, and has no sample of
`iteration_tokens_total` in its older releases (0.5). Releases before 0.10 have no
`return_token_ids`; those to 0.6 refuse what they do not know, so the question is put without it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from serinus.engines.counters import CounterNames, Counters, Samples, by_rank
from serinus.engines.openai_api import OpenAiApi, completion
from serinus.engines.protocol import Question
from serinus.engines.signs import Sign, Weight, member, owned_by, samples
from serinus.engines.traits import Lie, Pace, Traits
from serinus.engines.transcripts import TextTranscripts, greedy_completion

__all__ = ["VllmEngine"]

_NAMES = CounterNames(
    running=("vllm:num_requests_running",),
    waiting=("vllm:num_requests_waiting", "vllm:num_requests_swapped"),  # swapped: V0, to 0.8
    tokens=("vllm:generation_tokens_total",),
    steps=("vllm:iteration_tokens_total_count",),
    finished=("vllm:request_success_total",),
    prompts=("vllm:prompt_tokens_total",),
    gaps=("vllm:inter_token_latency_seconds_count",),
    gap_seconds=("vllm:inter_token_latency_seconds_sum",),
)
_SLEEP = "vllm:engine_sleep_state"
_TRAITS = Traits(
    release="0.32 (recorded); before the V1 engine (0.8) also num_requests_swapped; to 0.6 asked"
    " without return_token_ids, which it refuses",
    counted="usage, or the ids of the answer (return_token_ids): a token's text can be empty",
    work="running + waiting, as the scheduler last said",
    names=_NAMES,
    pace=Pace.OWN_BY_STEP,
    chunked=True,  # the V1 engine always does, unless --no-enable-chunked-prefill
    lies=(
        Lie("vllm:num_requests_running", "and waiting stay at 0 while EngineCore is frozen"),
        Lie("/health", "says 200 while EngineCore or a worker is frozen"),
    ),
)


@dataclass(frozen=True, slots=True)
class VllmEngine(TextTranscripts, OpenAiApi):
    """The vLLM engine. `token_id` is the whole prompt: the BOS id where it is known, else 1."""

    name: str = "vllm"
    traits: Traits = _TRAITS
    signs: tuple[Sign, ...] = (
        owned_by("vllm"),
        member("/version", "version", told="version", weight=Weight.MENTION),
        samples("vllm:", Weight.HINT),
    )
    sleep_path: str | None = "/is_sleeping"
    token_id: int = 1

    @property
    def metric_names(self) -> frozenset[str]:
        """The samples of its traits, and of its sleep."""
        return self.traits.names.all | {_SLEEP}

    def asleep(self, samples: Samples) -> bool | None:
        """Say whether any of its cores is not awake; None for releases without the sample."""
        awake = [
            value
            for labels, value in samples.get(_SLEEP, ())
            if labels.get("sleep_state") == "awake"
        ]
        return any(value == 0 for value in awake) if awake else None

    def read_sleep(self, status: int, body: bytes) -> bool | None:
        """Read `/is_sleeping`."""
        try:
            told = json.loads(body) if status == 200 else None
        except ValueError:
            return None
        word = told.get("is_sleeping") if isinstance(told, dict) else None
        return word if isinstance(word, bool) else None

    def rank_counters(self, samples: Samples) -> Mapping[int, Counters]:
        """Return a reading for each data-parallel rank, which the label `engine` numbers."""
        return by_rank(samples, "engine", self.traits.names)

    def directed(self, question: Question, rank: int) -> Question:
        """Return the question with the header that chooses a rank."""
        return replace(question, headers=(*question.headers, ("x-data-parallel-rank", str(rank))))

    def alternatives(self, model: str) -> tuple[Question, ...]:
        """Return a completion of ids, which need neither tokenizer nor chat template.

        The ids of the answer are asked for, because one token's text can be empty; in the second
        way they are not, for releases that refuse a field that they do not know (0.6).
        """
        usage = {"stream_options": {"include_usage": True}}
        ids = [self.token_id]
        return (
            completion(model, ids, {**usage, "return_token_ids": True}),
            completion(model, ids, usage),
        )

    def greedy(self, model: str, prompt: str, *, tokens: int) -> tuple[Question, ...]:
        """Return a completion whose tokens are told by their ids, then one without numbers.

        Two tokens can have the same text. `--max-logprobs 0` refuses the first.
        """
        usage = {"stream_options": {"include_usage": True}}
        more = {**usage, "ignore_eos": True, "return_token_ids": True}
        numbers = {"logprobs": 2, "return_tokens_as_token_ids": True}
        return (
            greedy_completion(model, prompt, tokens, {**more, **numbers}),
            greedy_completion(model, prompt, tokens, more),
        )
