"""What a handler is told about its request, beside the request."""

from __future__ import annotations

from itertools import count

__all__ = ["Context"]

_next_id = count(1)


class Context:
    """The second argument of a handler that wants one; the names are the reference's."""

    __slots__ = ("_id", "_stopped", "is_canary")

    def __init__(self, *, request_id: str | None = None, is_canary: bool = False) -> None:
        self._id = request_id
        self._stopped = False
        self.is_canary = is_canary

    def id(self) -> str:
        """Return the request's id; one is made on first use if none was given."""
        if self._id is None:
            self._id = f"{'canary' if self.is_canary else 'request'}-{next(_next_id)}"
        return self._id

    def is_stopped(self) -> bool:
        """Say whether the answer is no longer wanted."""
        return self._stopped

    def stop_generating(self) -> None:
        """Say that the answer is no longer wanted."""
        self._stopped = True
