"""Connections below HTTP: is the port open, and a bare one that tells when it closes.

A name can have several addresses (`localhost` has two); a port is closed when all refuse.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from typing import Any

from serinus.errors import excerpt
from serinus.sidecar.contact import ContactError, Trouble
from serinus.sidecar.place import Place

__all__ = ["Tripwire", "connected", "explained"]

_OURS = frozenset({errno.ENETUNREACH, errno.ENETDOWN, errno.EMFILE, errno.ENFILE, errno.ENOBUFS,
                   errno.ENOMEM, errno.EADDRNOTAVAIL})  # fmt: skip
_BROKEN = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})
_SHORT_LIFE = 1.0
_LONGEST_REST = 30.0


async def connected(place: Place, *, seconds: float) -> socket.socket:
    """Return a connection to the port; the caller closes it. Raises ContactError."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
            return await _first(found)
    except TimeoutError as error:
        raise ContactError(Trouble.SILENT, f"no connection within {seconds:g} s") from error
    except OSError as error:
        raise explained(error) from error


def explained(error: OSError) -> ContactError:
    """Turn what a connection failed with into what it means."""
    if isinstance(error, socket.gaierror):
        return ContactError(Trouble.UNRESOLVED, f"its name is not resolved: {error.strerror}")
    if error.errno == errno.ECONNREFUSED:
        return ContactError(Trouble.REFUSED, "connection refused")
    if isinstance(error, ConnectionError) or error.errno in _BROKEN:
        return ContactError(Trouble.DROPPED, "the connection broke before the end of the answer")
    shown = excerpt(error.strerror or error, limit=120)
    if error.errno in _OURS:
        return ContactError(Trouble.OURS, f"no connection from here: {shown}")
    return ContactError(Trouble.UNREACHABLE, f"no connection: {shown}")


async def _first(found: Sequence[tuple[int, int, int, str, Any]]) -> socket.socket:
    """Connect to the first address that lets us; if none does, raise what the last one said."""
    loop = asyncio.get_running_loop()
    refused = OSError(errno.EADDRNOTAVAIL, "it has no address")
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)  # noqa: FBT003 - its one argument
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            refused = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise refused


class Tripwire(asyncio.Protocol):
    """A connection on which nothing is ever said: when the engine's process ends, it closes.

    So death is noticed at once, at no cost to the engine. `tripped` is called whenever it closes
    by itself. A server that closes idle connections is met less and less often.
    """

    def __init__(self, place: Place, tripped: Callable[[], None]) -> None:
        self._place = place
        self._tripped = tripped
        self._transport: asyncio.BaseTransport | None = None
        self._armed_at = 0.0
        self._rest = 0.0

    @property
    def armed(self) -> bool:
        """Whether the connection is open."""
        return self._transport is not None

    def rests(self) -> bool:
        """Whether it is too early for the next connection."""
        return asyncio.get_running_loop().time() < self._armed_at + self._rest

    async def arm(self, *, seconds: float) -> None:
        """Open the connection. Raises ContactError."""
        loop = asyncio.get_running_loop()
        self._armed_at = loop.time()
        sock = await connected(self._place, seconds=seconds)
        self._transport, _ = await loop.create_connection(lambda: self, sock=sock)

    def disarm(self) -> None:
        """Close the connection, and say nothing of it."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Leave what an engine says unasked: some say that they have waited long enough."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's own
        """Tell whoever armed it."""
        if self._transport is None:
            return
        self._transport = None
        lived = asyncio.get_running_loop().time() - self._armed_at
        if lived < _SHORT_LIFE:
            self._rest = min(max(self._rest * 2, _SHORT_LIFE), _LONGEST_REST)
        else:
            self._rest = 0.0
        self._tripped()
