"""What some engines can do and others cannot. An engine has a capability by having its methods.

Asked for by `isinstance(engine, TellsRanks)`, so that an engine that lacks one says nothing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from serinus.core.transcript import Transcript
from serinus.engines.counters import Counters, Samples
from serinus.engines.protocol import AnswerReader, Engine, Question

__all__ = [
    "DirectsToRanks",
    "ServesDisaggregated",
    "TellsRanks",
    "TellsSleep",
    "Transcribes",
    "Transcript",
    "TranscriptReader",
]


class TranscriptReader(AnswerReader, Protocol):
    """Reads an answer, and keeps what was said."""

    @property
    def transcript(self) -> Transcript:
        """What is known up to now; final once the answer is finished."""


@runtime_checkable
class Transcribes(Protocol):
    """An engine that tells which tokens it gave."""

    def greedy(self, model: str, prompt: str, *, tokens: int) -> tuple[Question, ...]:
        """Return the questions for that many tokens after a fixed prompt, without chance.

        The best way first; the next one is for a server that refuses the one before it. `tokens` is
        at least 1. The end-of-sequence token does not end the answer, where the engine can be told
        so.
        """

    def transcript_reader(self) -> TranscriptReader:
        """Return a new reader for the answer to `greedy`."""


@runtime_checkable
class TellsRanks(Protocol):
    """An engine whose page tells its data-parallel ranks apart."""

    def rank_counters(self, samples: Samples) -> Mapping[int, Counters]:
        """Return a reading for each rank that the page has; empty where it has no such label."""


@runtime_checkable
class DirectsToRanks(Protocol):
    """An engine that lets a request choose its data-parallel rank."""

    def directed(self, question: Question, rank: int) -> Question:
        """Return the same question, put to that rank."""


@runtime_checkable
class ServesDisaggregated(Protocol):
    """An engine that answers differently as one side of a prefill/decode pair."""

    def alone(self) -> Engine:
        """Return the same engine, asked as one side of a pair without the help of the other."""


@runtime_checkable
class TellsSleep(Protocol):
    """An engine that says that its owner has put it to sleep, or has paused it."""

    @property
    def sleep_path(self) -> str | None:
        """The page that says so; None where its metrics alone do."""

    def asleep(self, samples: Samples) -> bool | None:
        """Say what the metrics page says; None where it does not say."""

    def read_sleep(self, status: int, body: bytes) -> bool | None:
        """Say what an answer from `sleep_path` says; None where there is no such page."""
