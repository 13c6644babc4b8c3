"""What an engine is to a sidecar: which question asks for one token, and how to read what it says.

Engines are sans-I/O: bytes and strings go in, frozen values come out. Who sends a question, how
long it waits and what it concludes are decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from serinus.core.evidence import CanaryFault
from serinus.engines.counters import Counters, Samples
from serinus.engines.signs import Sign
from serinus.engines.traits import Traits

__all__ = ["Answer", "AnswerReader", "Blame", "Engine", "Failure", "Question"]


class Blame(StrEnum):
    """Whose fault a failed canary is."""

    ENGINE = "engine"
    """It was asked rightly and did not bring its token."""
    CANARY = "canary"
    """It was asked wrongly (key, model, route, request), which says nothing of its health."""
    LOAD = "load"
    """It said that it has too much to do: it is there, and it is busy."""


@dataclass(frozen=True, slots=True)
class Question:
    """One HTTP request, complete but for the address and the credentials."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an answer is no proof. `detail` is short, and safe to show to anyone."""

    fault: CanaryFault
    detail: str
    blame: Blame = Blame.ENGINE
    status: int | None = None
    """The HTTP status, where that is what failed."""
    unsupported: bool = False
    """The server lacks this way of asking: ask the next of `Engine.alternatives`."""

    def __str__(self) -> str:
        return self.detail


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer has shown so far."""

    items: int = 0
    """Chunks of the expected shape, also those without a token (a chat's first has only a role)."""
    tokens: int = 0
    """Tokens, by the engine's own count where it gives one. Never characters."""
    finished: bool = False
    """Nothing more is to come, or nothing more is of interest."""
    failure: Failure | None = None

    @property
    def passed(self) -> bool:
        """Whether it proves the engine: complete, without an error, and with a token."""
        return self.finished and self.failure is None and self.tokens > 0


class AnswerReader(Protocol):
    """Reads one answer as it arrives. Once `answer.finished` holds, the rest may be left unread."""

    @property
    def answer(self) -> Answer:
        """What is known up to now; final once it is finished."""

    def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the head of the answer. It comes first, and once."""

    def feed(self, data: bytes) -> None:
        """Take a piece of the body; any division into pieces gives the same answer."""

    def end(self) -> None:
        """Take the end of the body, after which the answer is finished."""


class Engine(Protocol):
    """One kind of engine. Its values are constants: it can be shared and used from anywhere.

    What only some engines can do is in `capabilities`.
    """

    @property
    def name(self) -> str:
        """The name that settings know it by."""

    @property
    def traits(self) -> Traits:
        """What has to be known of it to judge it: what moves when, what lies, how to abort."""

    @property
    def signs(self) -> tuple[Sign, ...]:
        """What it shows of its kind, for `recognition`."""

    @property
    def models_path(self) -> str:
        """Where it lists its models."""

    @property
    def health_path(self) -> str:
        """Its own word on its health: one witness among others."""

    @property
    def health_is_free(self) -> bool:
        """Whether asking for it costs nothing: no generation, which would look like users' work."""

    @property
    def metrics_path(self) -> str | None:
        """Where its metrics page is, None if it has none. A page that is not there is unknown."""

    @property
    def metrics_port(self) -> int | None:
        """The port of that page where it is usually not the engine's own."""

    @property
    def metric_names(self) -> frozenset[str]:
        """The samples that `counters` reads: the others need not be parsed."""

    def read_models(self, body: bytes) -> tuple[str, ...]:
        """Return the model ids of an answer from `models_path`, base models first.

        Raises EngineError for anything but a list of models; an empty list is an answer.
        """

    def canary(self, model: str) -> Question:
        """Return the first choice of `alternatives`."""

    def alternatives(self, model: str) -> tuple[Question, ...]:
        """Return every way to ask for one token, best first.

        The next one is for a server that lacks the one before it (`Failure.unsupported`).
        """

    def answer_reader(self) -> AnswerReader:
        """Return a new reader for the answer to any of them."""

    def counters(self, samples: Samples) -> Counters:
        """Return what a metrics page says of work and progress."""
