"""Ollama, asked by its own `/api/generate`, whose answer is lines of JSON. Names as of 0.40.

They are of its documents; it does not run here. It has no metrics page, and it loads a model when
it is asked for it: a canary keeps the model that it asks in memory, and loads one that is not.
Where several are installed, name the one that serves by `--model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from serinus.core.transcript import Transcript
from serinus.engines.chunks import Chunk, read_chunk
from serinus.engines.completions import CompletionReader, question
from serinus.engines.listing import read_names
from serinus.engines.openai_api import OpenAiApi
from serinus.engines.protocol import Question
from serinus.engines.signs import Sign, Weight, member, text
from serinus.engines.traits import Lie, Traits
from serinus.engines.transcripts import TranscribingReader, characters, tokens_listed

__all__ = ["OllamaEngine"]

_TRAITS = Traits(
    release="0.40 (documents; not run here)",
    counted="eval_count of the last line, else lines with a response",
    work="it does not say",
    lies=(Lie("/", "says that Ollama is running, whatever its runner of the model does"),),
)


@dataclass(frozen=True, slots=True)
class OllamaEngine(OpenAiApi):
    """The Ollama server. `models_path` lists what is installed, the newest first."""

    name: str = "ollama"
    traits: Traits = _TRAITS
    signs: tuple[Sign, ...] = (
        text("/", "Ollama is running"),
        member("/api/version", "version", told="version", weight=Weight.MENTION),
    )
    models_path: str = "/api/tags"
    health_path: str = "/"
    metrics_path: str | None = None

    def read_models(self, body: bytes) -> tuple[str, ...]:
        """Return the names of the installed models."""
        return read_names(body, member="models", name="name")

    def alternatives(self, model: str) -> tuple[Question, ...]:
        """Return the one way: the prompt as it is, without the model's template."""
        options = {"num_predict": 1, "temperature": 0}
        body = {"model": model, "prompt": "Test", "raw": True, "stream": True, "options": options}
        return (question("/api/generate", body),)

    def answer_reader(self) -> CompletionReader:
        """Return a new reader."""
        return CompletionReader(_read)

    def greedy(self, model: str, prompt: str, *, tokens: int) -> tuple[Question, ...]:
        """Return the question with log-probabilities (0.12.11 and later), else by its text."""
        options = {"num_predict": tokens, "temperature": 0}
        body = {"model": model, "prompt": prompt, "raw": True, "stream": True, "options": options}
        numbers = {"logprobs": True, "top_logprobs": 2}
        return question("/api/generate", {**body, **numbers}), question("/api/generate", body)

    def transcript_reader(self) -> TranscribingReader:
        """Return a new reader."""
        return TranscribingReader(_said, _read)


def _read(item: object) -> Chunk | None:
    if not isinstance(item, Mapping) or not isinstance(item.get("done"), bool):
        return read_chunk(item)
    count = item.get("eval_count")
    finish = str(item.get("done_reason") or "stop") if item["done"] else None
    return Chunk(
        output=bool(item.get("response") or item.get("thinking")),
        usage=count if type(count) is int else None,
        finish=finish,
    )


def _said(item: object) -> Transcript:
    if not isinstance(item, Mapping):
        return Transcript()
    text, listed = str(item.get("response") or ""), item.get("logprobs")
    return tokens_listed(listed, text) if isinstance(listed, list) and listed else characters(text)
