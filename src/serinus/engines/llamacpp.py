"""llama.cpp's server (`llama-server`), asked by token ids. Names of b11434, run on CPU.

Its page is there with `--metrics` alone, and hangs while the main loop does, or stands still (both
were seen of a main thread that was stopped alone); `/slots` too. `/health` is answered beside it:
503 "Loading model" until the model is loaded, then 200 whatever happens.

A step has a token of every slot that answers, and up to 2,048 tokens of prompts. Their counter has
each piece as soon as anybody's token comes with it: while nobody answers, when the first does.
"""

from __future__ import annotations

from dataclasses import dataclass

from serinus.engines.counters import CounterNames
from serinus.engines.openai_api import OpenAiApi, chat, completion
from serinus.engines.protocol import Question
from serinus.engines.signs import Sign, header, member, owned_by, samples
from serinus.engines.traits import Lie, Pace, Traits
from serinus.engines.transcripts import TextTranscripts, greedy_chat, greedy_completion

__all__ = ["LlamaCppEngine"]

_NAMES = CounterNames(
    running=("llamacpp:requests_processing",),
    waiting=("llamacpp:requests_deferred",),
    steps=("llamacpp:n_decode_total",),
    ended=("llamacpp:tokens_predicted_total",),
    prompts=("llamacpp:prompt_tokens_total",),
)
_TRAITS = Traits(
    release="b11434 (run on CPU)",
    counted="usage: one token can be half a character, which is shown as U+FFFD",
    work="slots at work + deferred requests",
    names=_NAMES,
    pace=Pace.STEPS,
    at_end=("llamacpp:tokens_predicted_seconds_total",),
    lies=(
        Lie(
            "/health",
            "says 200 while the main loop is frozen; /metrics and /slots hang then, or stand still",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class LlamaCppEngine(TextTranscripts, OpenAiApi):
    """The llama.cpp engine. `token_id` is the whole prompt."""

    name: str = "llamacpp"
    traits: Traits = _TRAITS
    signs: tuple[Sign, ...] = (
        header("server", "llama.cpp"),
        owned_by("llamacpp"),
        member("/props", "default_generation_settings", "total_slots", told="build_info"),
        samples("llamacpp:"),
    )
    token_id: int = 1

    def alternatives(self, model: str) -> tuple[Question, ...]:
        """Return a text completion of ids, then a chat."""
        usage = {"stream_options": {"include_usage": True}}
        return completion(model, [self.token_id], usage), chat(model, usage)

    def greedy(self, model: str, prompt: str, *, tokens: int) -> tuple[Question, ...]:
        """Return a completion with the two best tokens of each place, then a chat."""
        more = {"ignore_eos": True, "stream_options": {"include_usage": True}}
        return (
            greedy_completion(model, prompt, tokens, {**more, "logprobs": 2}),
            greedy_chat(model, prompt, tokens, {**more, "logprobs": True, "top_logprobs": 2}),
        )
