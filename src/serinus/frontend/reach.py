"""Reaching an instance over the network path that its clients use, with the cheapest request.

Over HTTP it is a GET of the address that is announced: any answer but a server's own failure shows
that its process takes requests and answers them. Over plain TCP only a connection is made. Neither
asks for a token: whether the model behind can bring one is the worker's own proof.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple
from urllib.parse import urlsplit

from serinus.core.instance import Instance
from serinus.errors import excerpt

__all__ = ["Outcome", "Reach", "Reached", "late", "place_of"]

_LARGEST_LINE = 1024
_LATE = 1.5
"""A probe that took so many times its limit was held up by ourselves."""


class Outcome(StrEnum):
    """What a probe found."""

    REACHED = "reached"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It could not be tried, or our own event loop was late: it shows nothing."""


class Reached(NamedTuple):
    """What a probe found, and how it failed."""

    outcome: Outcome
    reason: str = ""


class _Place(NamedTuple):
    host: str
    port: int
    tls: bool
    path: str
    """What is asked for; empty if nothing is, and connecting is all."""


class Reach:
    """Probes instances. `timeout` is the seconds that each has."""

    def __init__(self, *, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout = timeout
        self._clock = clock
        self._trust: ssl.SSLContext | None = None

    async def __call__(self, instance: Instance) -> Reached:
        """Probe an instance once."""
        try:
            place = place_of(instance)
        except ValueError as error:
            return Reached(Outcome.FAILED, f"its address cannot be read: {excerpt(error)}")
        if place is None:
            return Reached(Outcome.UNKNOWN, "no way to reach it is known")
        began = self._clock()
        try:
            async with asyncio.timeout(self._timeout):
                return await self._ask(place)
        except TimeoutError:
            return late(self._timeout, self._clock() - began, "no answer")
        except (OSError, UnicodeError) as error:
            told = getattr(error, "strerror", None) or str(error) or type(error).__name__
            return Reached(Outcome.FAILED, excerpt(told))

    async def _ask(self, place: _Place) -> Reached:
        trust = None
        if place.tls:
            trust = self._trust = self._trust or ssl.create_default_context()
        reader, writer = await asyncio.open_connection(
            place.host, place.port, ssl=trust, limit=_LARGEST_LINE
        )
        try:
            if not place.path:
                return Reached(Outcome.REACHED)
            host = f"[{place.host}]" if ":" in place.host else place.host
            writer.write(
                f"GET {place.path} HTTP/1.1\r\nHost: {host}:{place.port}\r\n"
                "User-Agent: serinus-prober\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode()
            )
            try:
                line = await reader.readline()
            except ValueError:  # longer than any status line is
                return Reached(Outcome.FAILED, "answers, and not in HTTP")
            return _of_line(line)
        finally:
            writer.transport.abort()


def late(timeout: float, took: float, what: str) -> Reached:
    """Say what a probe showed that was out of time, after so many seconds."""
    if took > _LATE * timeout:
        return Reached(Outcome.UNKNOWN, "our own event loop was late")
    return Reached(Outcome.FAILED, f"{what} in {timeout:g} s")


def place_of(instance: Instance) -> _Place | None:
    """Return where and how an instance is probed; None if no way is known.

    Raises ValueError if its address cannot be read.
    """
    url = instance.transport.get("http") or instance.facts.get("rpc")
    if isinstance(url, str):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{excerpt(url, limit=80)} is no URL with a host")
        tls = parts.scheme == "https"
        path = parts.path or "/"
        if not path.isascii() or not path.isprintable() or " " in path:
            raise ValueError(f"{excerpt(url, limit=80)} has a path that cannot be sent")
        return _Place(parts.hostname, parts.port or (443 if tls else 80), tls, path)
    tcp = instance.transport.get("tcp")
    if tcp is None:
        return None
    host, _, port = tcp.partition("/")[0].rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{excerpt(tcp, limit=80)} has no host and port")
    return _Place(host.strip("[]"), int(port), tls=False, path="")


def _of_line(line: bytes) -> Reached:
    words = line.decode("latin-1").split(maxsplit=2)
    if not line:
        return Reached(Outcome.FAILED, "closed the connection without an answer")
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdigit():
        return Reached(Outcome.FAILED, "answers, and not in HTTP")
    if words[1].startswith("5") and words[1] != "501":
        return Reached(Outcome.FAILED, f"answers {words[1]}")
    return Reached(Outcome.REACHED)
