"""What an engine says of itself on its own `/health`.

It is one witness among others. It is written down, and it explains; it decides nothing: a
frozen engine says 200, and a busy one may not answer at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from serinus.core.evidence import Heard

__all__ = ["OwnHealth"]


@dataclass(frozen=True, slots=True)
class OwnHealth:
    """What the engine's own health page said at `at`: an HTTP status, or why there was none."""

    at: float
    status: int | None
    trouble: str = ""

    @property
    def well(self) -> bool:
        """Whether it says that it is well."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def ill(self) -> bool:
        """Whether it says that it is not; silence says nothing."""
        return self.status is not None and self.status >= 500

    def told(self) -> Heard:
        """Return it as evidence."""
        said = True if self.well else False if self.ill else None
        return Heard(self.at, said, str(self))

    def __str__(self) -> str:
        return self.trouble if self.status is None else str(self.status)
