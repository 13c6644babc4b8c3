"""Leases by file: what an operator's script or an engine's hook announces, without speaking to us.

The file says it all, each lease with its own end, so that a script that dies leaves nothing behind:

    {"reason": "weight_update", "seconds": 300}

    {"leases": [{"reason": "weight_update", "until": "2026-11-24T04:05:00+00:00",
                 "endpoint": "serinus.vllm.generate"}]}

`seconds` count from when the file was written last, so that `touch` renews. A lease that is no
longer there is released, and so are all of them if the file is gone or cannot be understood. The
wall clock is read once for each writing: one that jumps later changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from serinus.errors import LifecycleError, excerpt
from serinus.runtime.leases import LeaseGrant, Leases

__all__ = ["PACE", "Announced", "LeaseFile", "read_leases"]

logger = logging.getLogger("serinus")

PACE = 0.5
"""Seconds between two looks at the file."""
_MOST_BYTES = 64 << 10
_MOST = 64
"""Leases in the file."""
_LONGEST = 1e9
"""Seconds."""
_KEYS = ("reason", "seconds", "until", "endpoint", "name")
_ACCEPTED = 'accepted: {"reason": "weight_update", "seconds": 300}, or "leases" with a list of such'

_Writing = tuple[int, int, int]
"""What tells one writing of the file from another: its inode, its time and its size."""


class Announced(NamedTuple):
    """A lease as the file has it. `until` is of the wall clock, in seconds since 1970."""

    name: str
    reason: str
    until: float
    endpoint: str = ""


class LeaseFile:
    """Follows the file, and keeps the leases as it says. `run` it until it is cancelled."""

    def __init__(
        self,
        path: Path,
        leases: Leases,
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._leases = leases
        self._wall = wall
        self._known: _Writing | None = None
        self._doubted: _Writing | None = None
        self._grants: dict[str, LeaseGrant] = {}

    async def run(self) -> None:
        """Look again and again; a file system that hangs keeps nobody waiting but this."""
        while True:
            told = await asyncio.to_thread(self._read)
            self._take_in(*told)
            await asyncio.sleep(PACE)

    def look(self) -> None:
        """Look at the file once, and take in what has changed. Blocks."""
        self._take_in(*self._read())

    def _read(self) -> tuple[_Writing | None, bytes, float, str]:
        """Return the writing, what it holds if it is a new one, when it was, and what is wrong."""
        try:
            found = self._path.stat()
            writing = (found.st_ino, found.st_mtime_ns, found.st_size)
            if writing == self._known:
                return writing, b"", 0.0, ""
            if not stat.S_ISREG(found.st_mode):
                return writing, b"", 0.0, "it is no regular file"
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                return writing, file.read(_MOST_BYTES + 1), found.st_mtime, ""
        except (FileNotFoundError, NotADirectoryError):
            return None, b"", 0.0, ""
        except OSError as error:
            return (0, 0, 0), b"", 0.0, error.strerror or str(error)

    def _take_in(
        self, writing: _Writing | None, content: bytes, written: float, trouble: str
    ) -> None:
        if writing == self._known:
            return
        if writing is None:
            self._known = self._doubted = None
            self._keep({})
            return
        announced: tuple[Announced, ...] = ()
        now = self._wall()
        if not trouble:
            try:
                announced = read_leases(content, written=min(written, now))
            except ValueError as error:
                trouble = str(error)
        if trouble and writing != self._doubted:
            self._doubted = writing  # it may be half written: see what it is at the next look
            return
        self._known, self._doubted = writing, None
        if trouble:
            logger.warning("%s: no lease is taken: %s", self._path, trouble)
        self._keep({one.name: one for one in announced if one.until > now})

    def _keep(self, announced: Mapping[str, Announced]) -> None:
        """Release the leases that are gone, renew those that stay, take the new ones."""
        for name in tuple(self._grants):
            kept, grant = announced.get(name), self._grants[name]
            if kept is None or (kept.reason, kept.endpoint) != (grant.why, grant.endpoint):
                self._grants.pop(name).release()
        for name, one in announced.items():
            try:
                self._renew(name, one, self._bounded(one))
            except LifecycleError as error:
                logger.warning("%s: %s", self._path, error)

    def _renew(self, name: str, one: Announced, seconds: float) -> None:
        grant = self._grants.get(name)
        if grant is None:
            self._grants[name] = self._leases.take(
                one.reason, seconds=seconds, endpoint=one.endpoint, by="file"
            )
        else:
            grant.renew(seconds)

    def _bounded(self, one: Announced) -> float:
        seconds = one.until - self._wall()
        if seconds > self._leases.most:
            logger.warning(
                "%s: lease %r asks for %.0f s, and has %g s (lease_max); renew it in time",
                self._path,
                one.reason,
                seconds,
                self._leases.most,
            )
        return max(min(seconds, self._leases.most), 1e-3)


def read_leases(content: bytes, *, written: float) -> tuple[Announced, ...]:
    """Read the file, written last at `written` (seconds since 1970). Raises ValueError.

    An empty file, and an empty list, have no lease.
    """
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES} bytes")
    if not content.strip():
        return ()
    try:
        told = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({excerpt(error, limit=60)}); {_ACCEPTED}") from error
    if isinstance(told, dict) and set(told) == {"leases"}:
        told = told["leases"]
        if not isinstance(told, list):
            raise ValueError(f"'leases' is no list; {_ACCEPTED}")
    many = told if isinstance(told, list) else [told]
    if len(many) > _MOST:
        raise ValueError(f"it has {len(many)} leases; accepted: at most {_MOST}")
    leases = tuple(_lease(one, written) for one in many)
    names = [one.name for one in leases]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two leases are called {excerpt(twice, limit=60)!r}; give them names")
    return leases


def _lease(told: Any, written: float) -> Announced:
    if not isinstance(told, dict):
        raise ValueError(  # noqa: TRY004 - of the file, as all that is wrong with it
            f"{excerpt(told, limit=60)} is no lease; {_ACCEPTED}"
        )
    strange = sorted(set(told) - set(_KEYS))
    if strange:
        raise ValueError(f"unknown key {strange[0]!r}; accepted: {', '.join(_KEYS)}")
    texts = {key: told.get(key, "") for key in ("reason", "endpoint", "name")}
    for key, text in texts.items():
        if not isinstance(text, str) or len(text) > 200:
            raise ValueError(f"{key}: {excerpt(text, limit=60)}; accepted: a text of at most 200")
    reason, endpoint = texts["reason"].strip(), texts["endpoint"].strip()
    if not reason:
        raise ValueError("a lease without a 'reason'; accepted: a word such as weight_update")
    name = texts["name"] or (f"{reason} {endpoint}" if endpoint else reason)
    return Announced(name, reason, _until(told, written), endpoint)


def _until(told: Mapping[str, Any], written: float) -> float:
    seconds, until = told.get("seconds"), told.get("until")
    if (seconds is None) == (until is None):
        raise ValueError("a lease has either 'seconds' (from its writing) or 'until' (ISO 8601)")
    if seconds is not None:
        number = float(seconds) if type(seconds) in (int, float) else -1.0
        if not 0 < number <= _LONGEST:
            raise ValueError(f"seconds: {excerpt(seconds, limit=40)}; accepted: more than 0")
        return written + number
    try:
        moment = datetime.fromisoformat(str(until))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(
            f"until: {excerpt(until, limit=40)}; accepted: ISO 8601 with its offset, such as"
            " 2026-11-24T04:05:00+00:00"
        )
    return moment.timestamp()
