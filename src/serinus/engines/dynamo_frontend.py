"""NVIDIA Dynamo's frontend (`python -m dynamo.frontend`). Names as of 1.6.1, its wheel.

A token from it proves the frontend, a worker and the way between them; which worker, it chooses.
Its `/health` is 200 "healthy" without any worker, and names a killed worker for up to 13 s.
"""

from __future__ import annotations

from dataclasses import dataclass

from serinus.engines.counters import CounterNames
from serinus.engines.openai_api import OpenAiApi, chat, completion
from serinus.engines.protocol import Question
from serinus.engines.signs import Sign, samples
from serinus.engines.traits import Lie, Traits

__all__ = ["DynamoFrontendEngine"]

_NAMES = CounterNames(
    running=("dynamo_frontend_inflight_requests",),
    tokens=("dynamo_frontend_output_tokens_total",),
    finished=("dynamo_frontend_requests_total",),
)
_TRAITS = Traits(
    release="1.6.1 (its wheel)",
    counted="usage, else chunks with output",
    work="in flight, from the arrival of a request to its end; the queued are among them",
    names=_NAMES,
    lies=(Lie("/health", "says 200 without a worker, and lists a killed one for up to 13 s"),),
)


@dataclass(frozen=True, slots=True)
class DynamoFrontendEngine(OpenAiApi):
    """The frontend of a Dynamo deployment."""

    name: str = "dynamo-frontend"
    traits: Traits = _TRAITS
    signs: tuple[Sign, ...] = (samples("dynamo_frontend_"),)

    def alternatives(self, model: str) -> tuple[Question, ...]:
        """Return a text completion, then a chat for a model that is registered for chats alone."""
        usage = {"stream_options": {"include_usage": True}}
        return completion(model, "Test", usage), chat(model, usage)
