"""SGLang's server (`sglang.launch_server`), asked by token ids. Names as of 0.5.23, its source.

Its `/health_generate` generates one token and looks once a second whether anything came back: 1.0 s
on an idle engine, 20 s until it gives up. `/health` is the same only from 0.5.0 on, and not where
`SGLANG_ENABLE_HEALTH_ENDPOINT_GENERATION=false`: there it says 200 for as long as the port is open.
So it is never asked. Its page is there with `--enable-metrics` alone.

A long prompt is read in pieces (`--chunked-prefill-size`, 2,048 tokens or more by default), and
nobody else's token comes before the last of them; `realtime_tokens_total` has each (seen on a
running one: a prompt of 1,900 tokens in pieces of 128 moved it 15 times before its answer).

Its times from token to token are taken where tokens become text, which is of no rank: a time has
all tokens of one message, up to 50 of an answer that is not streamed.

Versions: in 0.5.23 `realtime_tokens_total` moves at every step, in releases before at every log
interval (40 steps by default); older ones lack it, and their page shows ends alone. Exporters
that cannot write a colon make `sglang_` of `sglang:`. Health checks are in no request counter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from serinus.core.transcript import Transcript
from serinus.engines.chunks import Chunk, read_chunk
from serinus.engines.completions import CompletionReader, question
from serinus.engines.counters import (
    CounterNames,
    Counters,
    Samples,
    by_rank,
    largest,
    only,
    read_counters,
)
from serinus.engines.openai_api import OpenAiApi, completion
from serinus.engines.protocol import Question
from serinus.engines.signs import Sign, Weight, member, owned_by, samples, text
from serinus.engines.traits import Abort, Lie, Pace, Traits
from serinus.engines.transcripts import (
    TranscribingReader,
    greedy_completion,
    margin,
    number,
    said_openai,
)

__all__ = ["SglangEngine"]


def _either(*names: str) -> tuple[str, ...]:
    return tuple(f"sglang{mark}{name}" for name in names for mark in (":", "_"))


_DONE = _either("realtime_tokens_total")
_NAMES = CounterNames(
    running=_either("num_running_reqs"),
    waiting=_either("num_queue_reqs"),
    tokens=_DONE,
    finished=_either("e2e_request_latency_seconds_count"),
    gaps=_either("inter_token_latency_seconds_count"),
    gap_seconds=_either("inter_token_latency_seconds_sum"),
)
_PROMPTS = CounterNames(prompts=_DONE)
"""Where its mode is that of reading."""
_NO_PEER = "2.2.2.2"
"""SGLang's FAKE_BOOTSTRAP_HOST: a request that sends its cache to no peer, and waits for none."""
_SAME_REQUESTS = frozenset({"tp_rank", "pp_rank", "moe_ep_rank"})
"""Labels of processes that share requests (--enable-metrics-for-all-schedulers reports each)."""
_TRAITS = Traits(
    release="0.5.23 (source, and run on CPU); older: no realtime_tokens_total; before 0.5 /health"
    " does not generate (0.4.6, source)",
    counted="usage, or meta_info.completion_tokens of /generate: a token can be unprintable",
    work="running + queued, as of the last prefill or the last 40 decode steps",
    names=_NAMES,
    pace=Pace.OWN,
    at_end=_either("generation_tokens_total", "num_requests_total"),
    lies=(
        Lie("sglang:num_running_reqs", "is written every 40 steps, and in older releases stays"
            " up to 30 s after the last request"),
        Lie("sglang:gen_throughput", "keeps its last value while the scheduler is frozen"),
        Lie("/health", "takes 20 s to say 503 of a frozen scheduler; before 0.5, or where it is"
            " told not to generate, it says 200"),
    ),
    health_seconds=1.0,
    health_generates=True,
    abort=Abort(within=2.0, route="/abort_request"),
    pieces=True,  # unless --chunked-prefill-size -1, which a few models bring by themselves
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SglangEngine(OpenAiApi):
    """The SGLang engine. `token_id` is the whole prompt."""

    name: str = "sglang"
    traits: Traits = _TRAITS
    signs: tuple[Sign, ...] = (
        owned_by("sglang"),
        text("/", "SGLang is running"),
        member("/model_info", "model_path", "is_generation", told="model_path"),
        samples("sglang:", Weight.HINT),
    )
    health_path: str = "/health_generate"
    health_is_free: bool = False
    token_id: int = 1
    disaggregated: bool = False
    """Whether it is one side of a prefill/decode pair."""

    def alone(self) -> SglangEngine:
        """Return it as one side of a pair: its bootstrap needs no peer, as its own health's."""
        return replace(self, disaggregated=True)

    def alternatives(self, model: str) -> tuple[Question, ...]:
        """Return a text completion of ids, then SGLang's own route, which needs no tokenizer."""
        own = {
            "input_ids": [self.token_id],
            "sampling_params": {"max_new_tokens": 1, "temperature": 0},
            "stream": True,
        }
        peer = {"bootstrap_host": _NO_PEER, "bootstrap_room": 0} if self.disaggregated else {}
        usage = {"stream_options": {"include_usage": True}, **peer}
        return completion(model, [self.token_id], usage), question("/generate", {**own, **peer})

    def answer_reader(self) -> CompletionReader:
        """Return a new reader; it reads both shapes."""
        return CompletionReader(_read)

    def greedy(self, model: str, prompt: str, *, tokens: int) -> tuple[Question, ...]:
        """Return SGLang's own route, by which alone tokens are told by ids; then a completion."""
        own = {
            "text": prompt,
            "sampling_params": {"max_new_tokens": tokens, "temperature": 0, "ignore_eos": True},
            "return_logprob": True,
            "top_logprobs_num": 2,
            "stream": True,
        }
        more = {"logprobs": 2, "ignore_eos": True}
        return question("/generate", own), greedy_completion(model, prompt, tokens, more)

    def transcript_reader(self) -> SglangTranscripts:
        """Return a new reader."""
        return SglangTranscripts(_said, _read)

    def counters(self, samples: Samples) -> Counters:
        """Return the sums over data-parallel ranks; processes that share requests count once."""
        told = largest(samples, _SAME_REQUESTS)
        reading = only(told, _DONE, label="mode", value="prefill_compute")
        read = read_counters(told, self.traits.names)
        return replace(read, prompts=read_counters(reading, _PROMPTS).prompts)

    def rank_counters(self, samples: Samples) -> Mapping[int, Counters]:
        """Return a reading for each data-parallel rank; ends of requests are no rank's."""
        return by_rank(largest(samples, _SAME_REQUESTS), "dp_rank", self.traits.names)

    def directed(self, question: Question, rank: int) -> Question:
        """Return the question with the field that chooses a rank, which both routes take."""
        body = {**json.loads(question.body), "routed_dp_rank": rank}
        return replace(question, body=json.dumps(body).encode())


def _read(item: object) -> Chunk | None:
    meta = item.get("meta_info") if isinstance(item, Mapping) else None
    if not isinstance(meta, Mapping):
        return read_chunk(item)
    return read_chunk({"choices": [_choice(meta)], "usage": meta})


def _choice(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": "", "finish_reason": meta.get("finish_reason")}


class SglangTranscripts(TranscribingReader):
    """Each event has the whole answer so far, or what came since the last (a flag of its)."""

    _so_far: object = None
    """The tokens of the whole answer, as the newest event counts them."""

    def _listen(self, item: object) -> Chunk | None:
        meta = item.get("meta_info") if isinstance(item, Mapping) else None
        self._so_far = meta.get("completion_tokens") if isinstance(meta, Mapping) else None
        return super()._listen(item)

    def _heard(self, piece: Transcript) -> Transcript:
        return piece if len(piece.tokens) == self._so_far else super()._heard(piece)


def _said(item: object) -> Transcript:
    meta = item.get("meta_info") if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or not isinstance(meta, Mapping):
        return said_openai(item)
    told, tops = meta.get("output_token_logprobs"), meta.get("output_top_logprobs")
    text = str(item.get("text") or "")
    if not isinstance(told, list):
        ids = item.get("output_ids")
        return Transcript(tuple(ids) if isinstance(ids, list) else (), text=text)
    logprobs = tuple(number(one[0]) for one in told)
    margins = None
    if isinstance(tops, list) and len(tops) == len(told):
        pairs = zip(logprobs, tops, strict=True)
        margins = tuple(margin(own, (number(one[0]) for one in top or ())) for own, top in pairs)
    return Transcript(tuple(int(one[1]) for one in told), logprobs, margins, text)
