"""Hugging Face's Text Generation Inference, asked by its own `/generate_stream`.

Names of its source, 3.x, which are those of 2.0; it does not run here. Counters have no `_total` at
their end. The size of the batch is written before each step and set to 0 when the batch has ended.
`/health` asks the shards whether they can allocate and, once a generation has failed, has them
prefill. The model is read from `/info`, which every release has: 2.0 has no `/v1/models`, and does
not name its router.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from serinus.core.transcript import Transcript
from serinus.engines.chunks import Chunk, read_chunk
from serinus.engines.completions import CompletionReader, question
from serinus.engines.counters import CounterNames, Counters, Samples, only, read_counters
from serinus.engines.foreign import quoted
from serinus.engines.openai_api import OpenAiApi, chat
from serinus.engines.protocol import Question
from serinus.engines.signs import Sign, member, samples
from serinus.engines.traits import Lie, Pace, Traits
from serinus.engines.transcripts import TranscribingReader, margin, number, said_openai
from serinus.errors import EngineError

__all__ = ["TgiEngine"]

_TIMES = "tgi_batch_inference_duration"
_NAMES = CounterNames(
    running=("tgi_batch_current_size",),
    waiting=("tgi_queue_size",),
    steps=("tgi_batch_inference_success",),
    finished=("tgi_request_success",),
    gaps=(f"{_TIMES}_count",),
    gap_seconds=(f"{_TIMES}_sum",),
)
_TRAITS = Traits(
    release="3.x and 2.0 (source; not run here)",
    counted="events with a token, each of which has its id",
    work="sequences in the batch + queue",
    names=_NAMES,
    pace=Pace.OWN_APART,
    at_end=("tgi_request_generated_tokens_sum", "tgi_request_count"),
    lies=(
        Lie("tgi_batch_current_size", "is written between two steps: a batch that is being"
            " prefilled alone is in neither gauge"),
        Lie("tgi_request_count", "counts requests that came in, not those that were answered"),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TgiEngine(OpenAiApi):
    """The TGI engine. It has one model, and its own route asks for none."""

    name: str = "tgi"
    traits: Traits = _TRAITS
    signs: tuple[Sign, ...] = (
        member("/info", "model_id", "max_concurrent_requests", "max_best_of", told="version"),
        samples("tgi_"),
    )
    models_path: str = "/info"
    health_is_free: bool = False  # after a failed generation it prefills

    def read_models(self, body: bytes) -> tuple[str, ...]:
        """Return its one model."""
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            told = None
        model = told.get("model_id") if isinstance(told, Mapping) else None
        if not isinstance(model, str):
            shown = quoted(body[:1024].decode(errors="replace"))
            raise EngineError(f'not a list of models: {shown}; expected {{"model_id": …}}')
        return (model,) if model else ()

    def counters(self, samples: Samples) -> Counters:
        """Return what it says; its times are those of decode steps."""
        times = only(samples, (*_NAMES.gaps, *_NAMES.gap_seconds), label="method", value="decode")
        return read_counters(times, _NAMES)

    def alternatives(self, model: str) -> tuple[Question, ...]:
        """Return its own route, then a chat for a gateway that has OpenAI's API alone."""
        own = {"inputs": "Test", "parameters": {"max_new_tokens": 1, "do_sample": False}}
        return question("/generate_stream", own), chat(model)

    def answer_reader(self) -> CompletionReader:
        """Return a new reader; it reads both shapes."""
        return CompletionReader(_read)

    def greedy(self, model: str, prompt: str, *, tokens: int) -> tuple[Question, ...]:  # noqa: ARG002 - it has one
        """Return its own route, whose events have the two best tokens. An end ends the answer."""
        how = {"max_new_tokens": tokens, "do_sample": False, "top_n_tokens": 2, "details": True}
        return (question("/generate_stream", {"inputs": prompt, "parameters": how}),)

    def transcript_reader(self) -> TranscribingReader:
        """Return a new reader."""
        return TranscribingReader(_said, _read)


def _read(item: object) -> Chunk | None:
    token = item.get("token") if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or not isinstance(token, Mapping):
        return read_chunk(item)
    details = item.get("details")
    finish = details.get("finish_reason") if isinstance(details, Mapping) else None
    if finish is None and item.get("generated_text") is not None:
        finish = "stop"
    return Chunk(output=bool(token.get("text")), token_ids=1, finish=finish)


def _said(item: object) -> Transcript:
    token = item.get("token") if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or not isinstance(token, Mapping):
        return said_openai(item)
    own, tops = number(token.get("logprob")), item.get("top_tokens")
    margins = None
    if isinstance(tops, list) and len(tops) > 1:
        listed = (number(one.get("logprob")) for one in tops if isinstance(one, Mapping))
        margins = (margin(own, listed),)
    return Transcript((token.get("id", -1),), (own,), margins, str(token.get("text") or ""))
