"""What is written to one connection, and the end of it when its reader takes nothing.

HTTP has no word for it, and neither the event loop nor uvicorn waits less than for ever: what was
written would stay in memory for as long as the other side keeps its port open.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

__all__ = ["Outlet"]

logger = logging.getLogger("serinus")


class Outlet:
    """A transport that aborts the connection when nothing was taken for `patience` seconds.

    Something is enough: a slow reader goes on. It is looked at only while something was written
    lately, so a connection at rest costs nothing.
    """

    __slots__ = ("_due", "_given", "_patience", "_taken", "_transport")

    def __init__(self, transport: asyncio.Transport, *, patience: float) -> None:
        self._transport = transport
        self._patience = patience
        self._given = self._taken = 0
        self._due: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, as transports do."""
        self._given += len(data)
        self._transport.write(data)
        if self._due is None:
            self._watch()

    def writelines(self, pieces: Sequence[bytes]) -> None:
        """Write, as transports do."""
        # Most answers are one piece, and this is a good part of what they cost.
        self._given += len(pieces[0]) if len(pieces) == 1 else sum(map(len, pieces))
        self._transport.writelines(pieces)
        if self._due is None:
            self._watch()

    def end(self) -> None:
        """Watch no more: the connection is lost."""
        if self._due is not None:
            self._due.cancel()

    def _left(self) -> int:
        """Return how many bytes have not arrived at the other side's machine."""
        left = self._transport.get_write_buffer_size()
        place = self._transport.get_extra_info("socket")
        # What waits in the system's buffer, which may be megabytes: an ioctl of Linux (tcp(7)).
        with suppress(OSError, ValueError):
            told = fcntl.ioctl(place.fileno(), termios.TIOCOUTQ, bytes(4))
            left += int.from_bytes(told, sys.byteorder)
        return left

    def _watch(self) -> None:
        self._taken = self._given - self._left()
        self._due = asyncio.get_running_loop().call_later(self._patience, self._look)

    def _look(self) -> None:
        self._due = None
        left = self._left()
        if not left:
            return
        if self._given - left > self._taken:
            self._watch()
            return
        peer = self._transport.get_extra_info("peername")
        logger.info("a reader (%s) took nothing for %g s and was left", peer, self._patience)
        self._transport.abort()
