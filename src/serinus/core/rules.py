"""The numbers that a judge goes by. All durations are seconds."""

from __future__ import annotations

from typing import NamedTuple

from serinus.core.renewal import renewed_often

__all__ = ["Rules"]


@renewed_often
class Rules(NamedTuple):
    """Budgets and thresholds of one endpoint; the defaults are those of the settings."""

    wait: float = 10.0
    """Idle time before a canary."""
    deadline: float = 3.0
    """Time for a canary's whole stream."""
    stall: float = 60.0
    """How long a busy endpoint may go without progress."""
    hang: float = 60.0
    """How long a proven hang may last before a restart is asked for."""
    failure_threshold: int = 2
    """Failed canaries in a row that turn an endpoint not ready."""
    success_threshold: int = 1
    """Proofs in a row that turn it ready again."""
    jitter: float = 0.1
    """Share of the wait by which a canary may come earlier."""
    doubt: float = 0.0
    """Silence of a busy endpoint after which one canary is sent on top of its work. 0: never."""
    on_top: float = 0.0
    """Time for that canary; if it too stays silent, the work is stalled before `stall` is over."""
    beside: bool = False
    """Whether that canary is answered even beside a long prompt, as was seen of the engine."""
    excuse: float = 30.0
    """How long trouble of our own may go on before an endpoint that it hides is not ready."""

    budget: int = 0
    """Canaries in any 24 hours, at the most. 0: no bound."""
    token_budget: int = 0
    """The tokens that they may cost. 0: no bound."""
    ranks: int = 1
    """Members of a group that take turns: while idle, each is asked once in so many waits."""
    turn: float = 0.0
    """When one of its turns is, in seconds of the caller's clock: there is one in every so many
    waits."""

    @property
    def idle(self) -> float:
        """The longest time that an idle endpoint goes unasked, in seconds, without a budget.

        A turn that comes within a wait of a proof is left out: that is the one wait more.
        """
        return self.wait if self.ranks <= 1 else self.wait * (self.ranks + 1)

    @property
    def retry(self) -> float:
        """Pace of the questions while the endpoint is not ready."""
        return min(self.wait, self.deadline)
