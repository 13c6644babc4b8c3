"""What servers of OpenAI's API have in common; an engine says in what it differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serinus.engines.completions import CompletionReader, question
from serinus.engines.counters import Counters, Samples, read_counters
from serinus.engines.listing import read_model_list
from serinus.engines.protocol import AnswerReader, Question
from serinus.engines.signs import Sign
from serinus.engines.traits import Traits

__all__ = ["CHAT", "COMPLETIONS", "OpenAiApi", "chat", "completion"]

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"


def completion(model: str, prompt: str | list[int], more: Mapping[str, Any]) -> Question:
    """Return the question for one token after a prompt; `more` fields are the engine's own."""
    body = {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0, "stream": True}
    return question(COMPLETIONS, {**body, **more})


def chat(model: str, more: Mapping[str, Any] | None = None) -> Question:
    """Return the question for one token of a chat, for servers and models that have only that."""
    messages = [{"role": "user", "content": "Test"}]
    body = {"model": model, "messages": messages, "max_tokens": 1, "temperature": 0, "stream": True}
    return question(CHAT, {**body, **(more or {})})


@dataclass(frozen=True, slots=True)
class OpenAiApi:
    """A server of OpenAI's API. See `protocol.Engine` for what the members mean."""

    name: str
    traits: Traits
    signs: tuple[Sign, ...] = ()
    models_path: str = "/v1/models"
    health_path: str = "/health"
    health_is_free: bool = True
    metrics_path: str | None = "/metrics"
    metrics_port: int | None = None

    @property
    def metric_names(self) -> frozenset[str]:
        """The samples of its traits."""
        return self.traits.names.all

    def read_models(self, body: bytes) -> tuple[str, ...]:
        """Return the model ids, base models before LoRA adapters."""
        return read_model_list(body)

    def canary(self, model: str) -> Question:
        """Return the first choice."""
        return self.alternatives(model)[0]

    def alternatives(self, model: str) -> tuple[Question, ...]:
        """Return a text completion, then a chat, in the fields that every server knows."""
        return completion(model, "Test", {}), chat(model)

    def answer_reader(self) -> AnswerReader:
        """Return a new reader; it reads both shapes."""
        return CompletionReader()

    def counters(self, samples: Samples) -> Counters:
        """Return the sums over its parts and models; aborted requests do not count."""
        return read_counters(samples, self.traits.names)
