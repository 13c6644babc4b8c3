"""Everything that can be chosen about a simulated engine."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from serinus.errors import SettingsError
from serinus.sim.engine import Pace
from serinus.sim.faults import Plan
from serinus.sim.loading import LoadShape

__all__ = ["RANKED", "EngineName", "SimOptions", "check_rank"]

MOST_RANKS = 64
MOST_SEQUENCES = 100_000  # slots and queue together; each holds its prompt in memory


class EngineName(StrEnum):
    """The engines that can be simulated."""

    VLLM = "vllm"
    SGLANG = "sglang"
    LLAMACPP = "llamacpp"
    TRANSFORMERS = "transformers"
    OPENAI = "openai"


RANKED = (EngineName.VLLM, EngineName.SGLANG)
"""Those whose servers have data-parallel ranks."""


@dataclass(frozen=True, slots=True)
class SimOptions:
    """What is simulated, where it listens, how fast it is and what goes wrong when.

    `ranks` are data-parallel cores, each of them of this pace. `context` is the longest prompt with
    its answer, in tokens. Port 0 takes a free one. With a
    `control_port` the control routes are on a loopback port of their own as well.

    Raises:
        SettingsError: A value is out of its range; the message names the flag.
    """

    engine: EngineName = EngineName.VLLM
    host: str = "127.0.0.1"
    port: int = 8000
    control_port: int | None = None
    model: str = "tiny"
    context: int = 8192
    pace: Pace = field(default_factory=Pace)
    load_seconds: float = 0.0
    load_shape: LoadShape | None = None
    load_tracking: bool = False
    ranks: int = 1
    faults: tuple[Plan, ...] = ()

    def __post_init__(self) -> None:
        pace = self.pace
        if not self.model:
            raise SettingsError("--model: a name is accepted, not an empty one")
        _whole("--port", self.port, 0, 65535)
        if self.control_port is not None:
            _whole("--control-port", self.control_port, 0, 65535)
        _whole("--context", self.context, 2, 10_000_000)
        _whole("--slots", pace.slots, 1, MOST_SEQUENCES)
        _whole("--queue", pace.queue, 0, MOST_SEQUENCES)
        _whole("--batch-tokens", pace.batch_tokens, 1, 10_000_000)
        _whole("--answer-tokens", pace.answer_tokens, 1, 10_000_000)
        _whole("--ranks", self.ranks, 1, MOST_RANKS)
        if self.ranks > 1 and self.engine not in RANKED:
            raise SettingsError(
                f"--ranks {self.ranks}: the engine '{self.engine}' has no ranks; accepted: 1, or "
                f"--engine {' or '.join(RANKED)}"
            )
        for plan in self.faults:
            check_rank(plan, self.ranks)
        _seconds("--step", pace.step_seconds, least=0.0001)
        _seconds("--prefill", pace.prefill_seconds)
        _seconds("--load-seconds", self.load_seconds)


def check_rank(plan: Plan, ranks: int) -> None:
    """Raise SettingsError if a fault is for a rank that is not there."""
    if plan.rank is not None and plan.rank >= ranks:
        known = ", ".join(map(str, range(ranks)))
        raise SettingsError(
            f"fault '{plan.fault}': there is no rank {plan.rank}; accepted: {known}"
        )


def _whole(flag: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise SettingsError(f"{flag} {value}: a whole number from {least} to {most} is accepted")


def _seconds(flag: str, value: float, *, least: float = 0.0) -> None:
    if not (math.isfinite(value) and least <= value <= 86_400):
        raise SettingsError(f"{flag} {value:g}: from {least:g} to 86400 seconds are accepted")
