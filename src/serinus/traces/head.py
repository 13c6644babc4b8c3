"""The first line of a session: by it a trace is known, and how to read on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from serinus.errors import TraceError
from serinus.traces.lines import BadLineError, Item, as_line, payload_of

__all__ = ["VERSION", "Head", "check_begins", "is_head"]

_MAGIC = "serinus trace"
VERSION = (1, 0)
"""Of the format: the major one changes when older readers would be wrong, the minor one when they
would only miss something."""
_MOST = 65536


class Head(NamedTuple):
    """A session begins, or goes on in another file: its clock's zero was at `wall` (POSIX s)."""

    session: str
    segment: int
    wall: float
    about: Mapping[str, str]

    def line(self) -> bytes:
        """Write it."""
        told: dict[str, Item] = {
            "session": self.session,
            "segment": self.segment,
            "wall": round(self.wall, 6),
            "about": {str(key): str(value) for key, value in self.about.items()},
        }
        return as_line([_MAGIC, list(VERSION), told])

    @classmethod
    def of(cls, payload: list[Item]) -> Head:
        """Read it. Raises TraceError if it makes no sense, or is of another major version."""
        version = payload[1] if len(payload) > 2 else None
        if not isinstance(version, list) or not version or not isinstance(version[0], int):
            raise TraceError("its first line makes no sense")
        if version[0] != VERSION[0]:
            raise TraceError(
                f"it is of version {version[0]} of the format, and this Serinus reads version "
                f"{VERSION[0]}; accepted: a Serinus that writes version {version[0]}"
            )
        told = payload[2]
        if isinstance(told, dict):
            session, wall, about = told.get("session"), told.get("wall"), told.get("about", {})
            segment = told.get("segment", 0)
            if (
                isinstance(session, str)
                and isinstance(wall, int | float)
                and isinstance(segment, int)
                and isinstance(about, dict)
            ):
                texts = {str(key): str(value) for key, value in about.items()}
                return cls(session, segment, float(wall), texts)
        raise TraceError("its first line makes no sense")


def is_head(payload: list[Item]) -> bool:
    """Whether a line is one."""
    return payload[0] == _MAGIC


def check_begins(file: Path) -> None:
    """See to it that a file begins as a trace that this version can go on with.

    Raises TraceError if not, OSError if it cannot be read.
    """
    with file.open("rb") as opened:
        line = opened.readline(_MOST)
    try:
        payload = payload_of(line)
    except BadLineError:
        payload = [None]
    if not is_head(payload):
        raise TraceError(f"{file}: is no trace: its first line is none of a '{_MAGIC}'")
    try:
        Head.of(payload)
    except TraceError as error:
        raise TraceError(f"{file}: {error}") from None
