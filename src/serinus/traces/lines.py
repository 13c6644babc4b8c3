"""Lines with a checksum: CRC-32 of the payload in eight hex digits, a space, the payload.

Payloads are JSON arrays of a single line. A line that was cut or changed is told from a whole one.
"""

from __future__ import annotations

import json
import zlib
from typing import TypeAlias

__all__ = ["LONGEST", "BadLineError", "Item", "as_line", "payload_of"]

Item: TypeAlias = "str | float | int | bool | list[Item] | dict[str, Item] | None"

LONGEST = 1 << 20
"""Bytes of a line at the most, so that damage cannot make a reader take in everything."""
_PREFIX = 9
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class BadLineError(ValueError):
    """A line is not whole; the text says how."""


def as_line(payload: list[Item]) -> bytes:
    r"""Write a payload as a line.

    >>> as_line(["m", 1.5, "begins"])
    b'7da5da21 ["m",1.5,"begins"]\n'
    """
    text = _encode(payload).encode(errors="replace")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def payload_of(line: bytes) -> list[Item]:
    """Take the payload out of a line. Raises BadLineError."""
    if not line.endswith(b"\n"):
        raise BadLineError("the line is cut short" if len(line) < LONGEST else "no line ends here")
    text = line[_PREFIX:-1]
    try:
        told = int(line[: _PREFIX - 1], 16)
    except ValueError:
        raise BadLineError("no checksum begins the line") from None
    if line[_PREFIX - 1 : _PREFIX] != b" " or told != zlib.crc32(text):
        raise BadLineError("its checksum does not fit")
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError):
        raise BadLineError("it is no JSON") from None
    if not isinstance(payload, list) or not payload:
        raise BadLineError("it is no JSON array with something in it")
    return payload
