"""An engine that says that it has too much to do is excused, and not for ever."""

from __future__ import annotations

from serinus.core.evidence import CanaryFailed, CanaryFault, CanaryUnknown

__all__ = ["Overload"]


class Overload:
    """For how long one engine has refused canaries for too much work; `stall` seconds excuse it."""

    def __init__(self, stall: float) -> None:
        self._stall = stall
        self._since: float | None = None

    def over(self) -> None:
        """Note that it took a canary, or is another engine."""
        self._since = None

    def weighed(self, refused: CanaryFailed) -> CanaryFailed | CanaryUnknown:
        """Say what it means that it refused once more."""
        if self._since is None:
            self._since = refused.at
        if refused.at - self._since < self._stall:
            return CanaryUnknown(refused.at, refused.detail)
        detail = f"{refused.detail}, for {refused.at - self._since:.0f} s"
        return CanaryFailed(refused.at, refused.sent, CanaryFault.ERROR_ITEM, detail)
