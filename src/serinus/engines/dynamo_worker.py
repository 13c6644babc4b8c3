"""NVIDIA Dynamo's worker, by its system status server (`DYN_SYSTEM_PORT`). Names as of 1.6.1.

**Nothing can be asked of it over HTTP**: generation goes over Dynamo's own request plane. What is
known is its own word (`/health`, which is the outcome of Dynamo's own canary if
`DYN_HEALTH_CHECK_ENABLED` is on, and else a registration) and its page, which has the runtime's
counters and those of the engine in it. So the question is put to `/health`, and an idle worker is
believed; a busy one is judged by its counters. To have tokens for proof, watch a frontend.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serinus.core.evidence import CanaryFault
from serinus.engines.completions import question
from serinus.engines.counters import CounterNames
from serinus.engines.foreign import quoted
from serinus.engines.openai_api import OpenAiApi
from serinus.engines.protocol import Answer, Failure, Question
from serinus.engines.refusals import MAX_REFUSAL_BYTES, refusal
from serinus.engines.signs import Sign, samples
from serinus.engines.traits import Lie, Pace, Traits
from serinus.errors import EngineError, LifecycleError

__all__ = ["DynamoWorkerEngine"]

_NAMES = CounterNames(
    running=("dynamo_component_inflight_requests",),
    tokens=("vllm:generation_tokens_total", "sglang:realtime_tokens_total"),
    steps=("vllm:iteration_tokens_total_count",),
    finished=("dynamo_component_requests_total",),
    prompts=("vllm:prompt_tokens_total",),
    gaps=("vllm:inter_token_latency_seconds_count",),
    gap_seconds=("vllm:inter_token_latency_seconds_sum",),
)
_TRAITS = Traits(
    release="1.6.1 (its wheel)",
    counted="not at all: its own word is taken for an answer",
    work="requests in its handlers, whether the engine has seen them or not",
    names=_NAMES,
    pace=Pace.OWN_BY_STEP,  # of vLLM's alone
    at_end=("trtllm_generation_tokens_total",),
    lies=(
        Lie("/health", "says 503 of a worker without canaries of its own, and 200 of an engine"
            " that yields an error, or one token and then nothing"),
        Lie("vllm:num_requests_running", "stays at 0 while EngineCore is frozen"),
    ),
    proves=False,
)  # fmt: skip
_HEALTH = "/health"


@dataclass(frozen=True, slots=True)
class DynamoWorkerEngine(OpenAiApi):
    """A worker of a Dynamo deployment. Its endpoints stand where others list models."""

    name: str = "dynamo-worker"
    traits: Traits = _TRAITS
    signs: tuple[Sign, ...] = (samples("dynamo_component_"),)
    models_path: str = _HEALTH

    def read_models(self, body: bytes) -> tuple[str, ...]:
        """Return the names of its endpoints."""
        endpoints = _endpoints(body)
        if endpoints is None:
            shown = quoted(body[:1024].decode(errors="replace"))
            raise EngineError(f'not a list of models: {shown}; expected {{"endpoints": {{…}}}}')
        return tuple(endpoints)

    def alternatives(self, model: str) -> tuple[Question, ...]:  # noqa: ARG002 - it has no choice
        """Return the one question that it takes: how it is."""
        asked = question(_HEALTH, {})
        headers = tuple(pair for pair in asked.headers if pair[0] != "content-type")
        return (Question("GET", _HEALTH, headers, b""),)

    def answer_reader(self) -> WordReader:
        """Return a new reader."""
        return WordReader()


class WordReader:
    """Reads what a worker says of itself; see AnswerReader. A good word counts as one token."""

    def __init__(self) -> None:
        self._status: int | None = None
        self._body = bytearray()
        self._answer = Answer()

    @property
    def answer(self) -> Answer:
        """What is known up to now; final once it is finished."""
        return self._answer

    def start(self, status: int, headers: Mapping[str, str]) -> None:  # noqa: ARG002 - the port's
        """Take the head of the answer."""
        self._status = status

    def feed(self, data: bytes) -> None:
        """Take a piece of the body."""
        if self._status is None:
            raise LifecycleError("feed() before start(): an answer begins with its head")
        if self._answer.finished:
            return
        self._body += data
        if len(self._body) > MAX_REFUSAL_BYTES:
            detail = "the answer is too large for a word on health"
            self._answer = Answer(finished=True, failure=Failure(CanaryFault.WRONG_SHAPE, detail))

    def end(self) -> None:
        """Take the end of the body, after which the answer is finished."""
        if self._answer.finished:
            return
        body = bytes(self._body)
        if self._status != 200:
            self._answer = Answer(finished=True, failure=refusal(self._status or 0, body))
        elif _endpoints(body) is None:
            shown = quoted(body[:1024].decode(errors="replace"))
            detail = f"the answer is not a word on health: {shown}"
            self._answer = Answer(finished=True, failure=Failure(CanaryFault.WRONG_SHAPE, detail))
        else:
            self._answer = Answer(items=1, tokens=1, finished=True)


def _endpoints(body: bytes) -> Mapping[str, Any] | None:
    try:
        parsed: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    endpoints = parsed.get("endpoints") if isinstance(parsed, Mapping) else None
    return endpoints if isinstance(endpoints, Mapping) else None
