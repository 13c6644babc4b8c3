"""How long an engine's page usually takes: when its silence is worth a question.

A process that hangs as a whole answers nothing, and while it is idle nothing else shows that before
the next canary. That a page is late proves nothing (a saturated server is slow, an exporter may be
broken), and is a hint. Pure.
"""

from __future__ import annotations

__all__ = ["Punctuality"]

_ENOUGH = 3
"""Readings before it is known how long one takes."""
_TIMES = 4.0
"""Times the longest of late; a page that takes longer is late."""
_LEAST = 0.5
"""Seconds that no page is late within."""
_FADING = 1 - 1 / 64
"""What is left of the longest with each reading after it."""


class Punctuality:
    """The times that readings of one page took, in seconds."""

    __slots__ = ("_longest", "_readings")

    def __init__(self) -> None:
        self._readings = 0
        self._longest = 0.0

    def took(self, seconds: float) -> None:
        """Take in how long a page took that came."""
        self._readings += 1
        self._longest = max(seconds, self._longest * _FADING)

    @property
    def late_after(self) -> float | None:
        """Seconds after which a page is late; None as long as that is not known."""
        if self._readings < _ENOUGH:
            return None
        return max(_LEAST, _TIMES * self._longest)
