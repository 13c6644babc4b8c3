"""Is it me? What is known of Serinus's own state, and which failures it excuses.

What our own trouble may hide is silence. A wrong or error answer is never excused, nor is a port
that refuses: somebody said that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from serinus.core.evidence import Blinded, CanaryFailed, CanaryFault

__all__ = ["LONGEST_DELAY", "Contact", "Outage", "OwnState", "excuse_of", "lost_at_once"]

LONGEST_DELAY = 1.0
"""Seconds by which our own loop may come late at once, or the host sleep, before it is trouble."""
_LOST_SHARE = 0.5
"""Share of a question's time that our own loop may have lost before the outcome means nothing."""
_UNHEARD_SHARE = 0.4
"""Share of a question's time for which the others must have been silent, to be lost with it."""
_SILENCES = frozenset({CanaryFault.TIMEOUT, CanaryFault.STUCK})
_BROKEN_BY_SLEEP = _SILENCES | {CanaryFault.DROPPED}


class Outage(NamedTuple):
    """All of `targets` engines have been silent since `since`, at once.

    Engines that were silent long before that are not among them: they can say nothing of it.
    """

    since: float
    targets: int

    def __str__(self) -> str:
        return f"all {self.targets} engines were lost at once"


class Contact(NamedTuple):
    """What we hear of one engine. Both are None before the first attempt."""

    answered_at: float | None = None
    """When anything last came from it: an answer, good or bad, or a refused connection."""
    unheard_since: float | None = None
    """When the first attempt began to which nothing has come; None while it answers."""

    def trying(self, at: float) -> Contact:
        """Begin an attempt."""
        return self if self.unheard_since is not None else self._replace(unheard_since=at)

    def answered(self, at: float) -> Contact:
        """Hear anything from it."""
        return Contact(at)


class OwnState(NamedTuple):
    """The part of a report that is about ourselves. Durations are seconds since the start."""

    loop_late: float = 0.0
    """By how much our event loop is late right now."""
    loop_lost: float = 0.0
    """What our event loop has lost so far."""
    suspensions: int = 0
    suspended: float = 0.0
    """What the host has slept so far."""
    excused: int = 0
    """Failed canaries that were taken for unknown, because the fault may be ours."""
    trouble: Blinded | None = None
    """The last trouble of our own."""
    outage: Outage | None = None
    """All engines are silent at once, now."""


def excuse_of(failed: CanaryFailed, *, span: float, lost: float, asleep: float) -> str:
    """Say why a failure may be our own fault; empty if it is the engine's.

    `span`: the seconds that it was given. In them, our own loop lost `lost` and the host slept for
    `asleep`.
    """
    if asleep >= LONGEST_DELAY and failed.fault in _BROKEN_BY_SLEEP:
        return f"the host was suspended for {asleep:.1f} s"
    if lost > span * _LOST_SHARE and failed.fault in _SILENCES:
        return f"our own event loop lost {lost:.2f} s"
    return ""


def lost_at_once(
    contacts: Sequence[Contact], *, now: float, sent: float, within: float
) -> Outage | None:
    """Say whether all engines were lost at once, as with a network of ours that is gone.

    Each has been silent for most of the time since `sent`; and several of them fell silent within
    `within` seconds of each other, which engines that fail on their own do not.
    """
    silent = [one.unheard_since for one in contacts if one.unheard_since is not None]
    latest = max(silent, default=now)
    together = [since for since in silent if latest - since <= within]
    if len(silent) < len(contacts) or len(together) < 2:
        return None
    return Outage(latest, len(together)) if latest <= now - (now - sent) * _UNHEARD_SHARE else None
