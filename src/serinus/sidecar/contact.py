"""What can go wrong on the way to an engine, before it has said anything."""

from __future__ import annotations

from enum import StrEnum

from serinus.errors import EngineError

__all__ = ["ContactError", "Trouble"]


class Trouble(StrEnum):
    """The kinds of it, as far as they mean different things."""

    REFUSED = "connection refused"
    """The host is there, and nobody listens on the port."""
    UNREACHABLE = "not reachable"
    UNRESOLVED = "name not resolved"
    OURS = "our own side"
    """No network, no descriptors, no memory: it says nothing of the engine."""
    UNTRUSTED = "certificate not trusted"
    DROPPED = "connection dropped"
    NO_HTTP = "not HTTP"
    TOO_LARGE = "answer too large"
    SILENT = "no answer in time"


class ContactError(EngineError):
    """There was no whole answer. `detail` is short, and safe to show to anyone."""

    def __init__(self, trouble: Trouble, detail: str) -> None:
        super().__init__(detail)
        self.trouble = trouble
        self.detail = detail
