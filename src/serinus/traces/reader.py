"""Reading traces back, up to any damage, and on from the next session after it.

A line that is not whole ends what can be trusted of its session: names and numbers that were
given there may be missing. Everything before it is read; sessions behind it are.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast, get_args

from serinus.core.evidence import Evidence, Registered
from serinus.core.rules import Rules
from serinus.errors import TraceError, excerpt
from serinus.traces.entries import Damage, Entry, Lost, Mark, Ruled, Seen, Session, Trace
from serinus.traces.head import Head, is_head
from serinus.traces.lines import LONGEST, BadLineError, Item, payload_of
from serinus.traces.segments import segments_of
from serinus.traces.values import Kind, shifted

__all__ = ["read"]

_KINDS: dict[str, Any] = {kind.__name__: kind for kind in get_args(Evidence)}
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 16


def read(file: Path) -> Trace:
    """Read a recording: `file`, after the older files that were put away beside it.

    Raises TraceError if there is none, if it is no trace, or if a newer Serinus wrote it.
    """
    files = segments_of(file)
    if not files:
        raise TraceError(f"{file}: there is no such trace")
    reading = _Reading()
    for one in files:
        try:
            with one.open("rb") as opened:
                reading.take(str(one), opened)
        except OSError as error:
            raise TraceError(f"{one}: cannot be read: {error.strerror}") from error
    return reading.trace()


class _Line(NamedTuple):
    position: int
    text: bytes


class _Reading:
    """What has been read so far, over all files."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._damages: list[Damage] = []
        self._skipped: Counter[str] = Counter()
        self._first_wall: float | None = None
        self._session: tuple[str, float] | None = None
        self._finished = False
        self._begun: set[str] = set()

    def trace(self) -> Trace:
        """Return it."""
        return Trace(
            tuple(self._entries), tuple(self._damages), dict(self._skipped), self._finished
        )

    def take(self, file: str, opened: BinaryIO) -> None:
        """Read one file to its end."""
        names: _Names | None = None
        trouble: tuple[int, str] | None = None
        lines = _Lines(opened)
        for position, text in lines:
            payload: list[Item] | None = None
            why = ""
            try:
                payload = payload_of(text)
            except BadLineError as error:
                why = str(error)
            if payload is not None and is_head(payload):
                if trouble is not None:
                    self._damaged(file, *trouble, upto=position)
                    trouble = None
                why = self._begin(file, payload, first=names is None and not position)
                names = _Names(self) if not why else names
            elif names is None:
                raise TraceError(f"{file}: is no trace: it does not begin as one")
            elif payload is not None and trouble is None:
                try:
                    self._told(names, payload)
                except _NoSenseError as error:
                    why = str(error)
            if why and trouble is None:
                trouble = (position, why)
        if lines.trouble and trouble is None:
            trouble = (lines.position, lines.trouble)
        if names is None:
            why = trouble[1] if trouble is not None else "it is empty"
            raise TraceError(f"{file}: is no trace: {why}")
        if trouble is not None:
            self._damaged(file, *trouble, upto=lines.position)

    def _damaged(self, file: str, position: int, why: str, *, upto: int) -> None:
        self._damages.append(Damage(file, position, why, upto - position))

    def _begin(self, file: str, payload: list[Item], *, first: bool) -> str:
        """Begin a session, or go on with one; say why not, if not."""
        try:
            head = Head.of(payload)
        except TraceError as error:
            if first:
                raise TraceError(f"{file}: {error}") from None
            return str(error)
        if self._first_wall is None:
            self._first_wall = head.wall
        at = head.wall - self._first_wall
        if self._session is None or self._session[0] != head.session:
            self._entries.append(Session(at, head.wall, head.about))
        self._session = (head.session, at)
        self._finished = False
        return ""

    def _told(self, names: _Names, payload: list[Item]) -> None:
        _, at = cast("tuple[str, float]", self._session)
        first = payload[0]
        try:
            if isinstance(first, int):
                self._evidence(names, payload, at)
            elif first == "k":
                names.kind(payload)
            elif first == "t":
                names.target(payload)
            elif first == "r":
                self._rules(names, payload, at)
            elif first == "m":
                self._entries.append(Mark(at + _seconds(payload[1]), str(payload[2])))
            elif first == "w":
                since = _seconds(payload[1]) - cast("float", self._first_wall)
                self._entries.append(Mark(since, str(payload[2])))
            elif first == "l":
                self._entries.append(Lost(at + _seconds(payload[1]), int(_seconds(payload[2]))))
            elif first == "e":
                self._finished = True
            else:
                self._skipped[f"line {excerpt(first, limit=40)}"] += 1
        except (IndexError, KeyError, TypeError, ValueError, OverflowError):
            raise _NoSenseError("it makes no sense after what stands before it") from None

    def _evidence(self, names: _Names, payload: list[Item], at: float) -> None:
        name, kind = names.kinds[cast("int", payload[0])]
        number = cast("int", payload[1])
        target = names.targets[number]
        if kind is None:
            self._skipped[name] += 1
            return
        try:
            evidence = kind.read(payload[2:])
        except TraceError as error:
            self._skipped[f"{name} with {error}"] += 1
            return
        evidence = shifted(evidence, at) if at else evidence
        if target not in self._begun:
            self._begun.add(target)
            if not isinstance(evidence, Registered):  # the file with its beginning is gone
                canary = names.canaries[number]
                self._entries.append(Seen(target, Registered(evidence.at, canary=canary)))
        self._entries.append(Seen(target, evidence))

    def _rules(self, names: _Names, payload: list[Item], at: float) -> None:
        told = cast("dict[str, Item]", payload[3])
        target = names.targets[cast("int", payload[2])]
        try:
            rules = Kind.of(Rules, list(told)).read(list(told.values()))
        except TraceError as error:
            self._skipped[f"rules with {error}"] += 1
            return
        self._entries.append(Ruled(at + _seconds(payload[1]), target, rules))

    def unknown_fields(self, name: str, fields: Iterable[str]) -> None:
        """Count fields of a known kind that this version does not have."""
        for field in fields:
            self._skipped[f"{name}.{field}"] += 1


class _Names:
    """What numbers mean in one session of one file."""

    def __init__(self, reading: _Reading) -> None:
        self._reading = reading
        self.kinds: dict[int, tuple[str, Kind | None]] = {}
        self.targets: dict[int, str] = {}
        self.canaries: dict[int, bool] = {}

    def target(self, payload: list[Item]) -> None:
        """Learn what a number of a target means."""
        number = cast("int", payload[1])
        self.targets[number] = str(payload[2])
        self.canaries[number] = payload[3] is True

    def kind(self, payload: list[Item]) -> None:
        """Learn what a number of evidence means."""
        number, name = cast("int", payload[1]), str(payload[2])
        fields = [str(field) for field in cast("list[Item]", payload[3])]
        made = _KINDS.get(name)
        self.kinds[number] = (name, None if made is None else Kind.of(made, fields))
        if made is not None:
            self._reading.unknown_fields(name, (one for one in fields if one not in made._fields))


class _NoSenseError(ValueError):
    """A line is whole, and refers to what was never said."""


class _Lines:
    """The lines of a file, compressed or not, with their positions; `trouble` if it ends badly."""

    def __init__(self, opened: BinaryIO) -> None:
        self._opened = opened
        self.position = 0
        """Of the end of what was read."""
        self.trouble = ""

    def __iter__(self) -> Iterator[_Line]:
        rest = b""
        begun = 0
        for chunk in self._chunks():
            self.position += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield _Line(begun, line + b"\n")
                begun += len(line) + 1
            while len(rest) >= LONGEST:
                yield _Line(begun, rest[:LONGEST])
                begun, rest = begun + LONGEST, rest[LONGEST:]
        if rest:
            yield _Line(begun, rest)

    def _chunks(self) -> Iterator[bytes]:
        first = self._opened.read(_CHUNK)
        if first[:2] != _GZIP:
            while first:
                yield first
                first = self._opened.read(_CHUNK)
            return
        unpacker = zlib.decompressobj(wbits=31)
        while first:
            try:
                yield from self._unpacked(unpacker, first)
            except zlib.error as error:
                self.trouble = f"the compressed data is damaged: {excerpt(error)}"
                return
            first = self._opened.read(_CHUNK)
        if not unpacker.eof:
            self.trouble = "the compressed data is cut short"

    @staticmethod
    def _unpacked(unpacker: Any, packed: bytes) -> Iterator[bytes]:
        while packed:
            yield unpacker.decompress(packed, _CHUNK)
            packed = unpacker.unconsumed_tail


def _seconds(item: Item) -> float:
    return float(cast("float", item))
