"""What the engine tells of itself, step by step: the raw material of a metrics page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from serinus.sim.jobs import Finish, Order

__all__ = ["Ended", "Observer", "Silent", "Step"]


@dataclass(frozen=True, slots=True)
class Ended:
    """A sequence that came to its end, and was not taken away. Durations are seconds."""

    reason: Finish
    order: Order
    tokens: int
    total: float
    queued: float
    prefill: float
    decode: float


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did, and how the engine stands after it.

    `computed_tokens` counts prompt and answer, `prompt_tokens` the prompts that were read to the
    end; `first_tokens` are seconds from arrival to the first token, `gaps` from token to token.
    """

    running: int
    waiting: int
    kept_tokens: int = 0
    prompt_tokens: int = 0
    computed_tokens: int = 0
    tokens: int = 0
    first_tokens: tuple[float, ...] = ()
    gaps: tuple[float, ...] = ()
    ended: tuple[Ended, ...] = ()


class Observer(Protocol):
    """One who is told what the engine does."""

    def stepped(self, step: Step) -> None:
        """Hear of a step, or of a change in who runs and who waits."""

    def refused(self) -> None:
        """Hear that a request found the queue full."""


class Silent:
    """An observer that is not interested."""

    def stepped(self, step: Step) -> None:
        """Do nothing."""

    def refused(self) -> None:
        """Do nothing."""
