"""`transformers serve`, asked by text. Names of 5.19 (recorded) and 5.23 (source).

It has no metrics page: canaries alone can tell, and a canary behind a long generation is late
without anything being wrong. `/health` says 200 while the generation thread is frozen; in 5.23 it
says 503 once the continuous-batching worker has died. Fields that it does not know are refused, and
so are prompts of ids. Without a cache of models its `/v1/models` is a 500 (5.23, seen): name the
model by `--model` then.
"""

from __future__ import annotations

from dataclasses import dataclass

from serinus.engines.openai_api import OpenAiApi
from serinus.engines.protocol import Question
from serinus.engines.signs import Sign, route
from serinus.engines.traits import Lie, Traits
from serinus.engines.transcripts import TextTranscripts, greedy_chat, greedy_completion

__all__ = ["TransformersEngine"]

_TRAITS = Traits(
    release="5.19 and 5.23 (recorded)",
    counted="usage, which ends the stream in place of [DONE]: a token's text can be empty",
    work="it does not say",
    lies=(Lie("/health", "says 200 while the generation thread is frozen"),),
)


@dataclass(frozen=True, slots=True)
class TransformersEngine(TextTranscripts, OpenAiApi):
    """The server of the transformers library."""

    name: str = "transformers"
    traits: Traits = _TRAITS
    signs: tuple[Sign, ...] = (route("/load_model", "/v1/completions"),)
    metrics_path: str | None = None

    def greedy(self, model: str, prompt: str, *, tokens: int) -> tuple[Question, ...]:
        """Return a completion, then a chat: it tells neither ids nor log-probabilities."""
        return (
            greedy_completion(model, prompt, tokens, {}),
            greedy_chat(model, prompt, tokens, {}),
        )
