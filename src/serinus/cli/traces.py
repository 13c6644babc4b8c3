"""Traces for people and programs: how they are named on the command line, and printed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from serinus.errors import SettingsError
from serinus.traces.entries import Entry, Lost, Mark, Ruled, Seen, Session, Trace
from serinus.traces.reader import read
from serinus.traces.values import Item, as_item

__all__ = ["as_json", "as_table", "damage_in", "read_traces"]


def read_traces(files: Sequence[str]) -> list[Trace]:
    """Read recordings. Raises SettingsError if none is named, TraceError for what is none."""
    if not files:
        raise SettingsError("no trace is named; accepted: the path of a recording")
    return [read(Path(file)) for file in files]


def damage_in(file: str, trace: Trace) -> bool:
    """Say on the standard error what is missing of a trace; whether it is damaged."""
    for damage in trace.damages:
        print(f"serinus: warning: {damage}", file=sys.stderr)
    for name, count in trace.skipped.items():
        print(
            f"serinus: warning: {file}: {count} time(s) {name}, which this version does not know",
            file=sys.stderr,
        )
    missing = sum(one.entries for one in trace.entries if isinstance(one, Lost))
    if missing:
        print(
            f"serinus: warning: {file}: {missing} piece(s) of evidence could not be kept then",
            file=sys.stderr,
        )
    return bool(trace.damages)


def as_table(trace: Trace) -> Iterator[str]:
    """Write an entry a line: seconds since the beginning, the target, what was seen."""
    width = max((len(name) for name in trace.targets), default=0)
    for entry in trace.entries:
        who, what = _told(entry)
        yield f"{entry.at:>13.3f}  {who:<{width}}  {what}".rstrip()
    if not trace.finished:
        yield "the recording has no end: it goes on, or its process was killed"


def as_json(trace: Trace) -> Iterator[dict[str, Item]]:
    """Write each entry as an object: its kind, and its fields by name."""
    for entry in trace.entries:
        told: dict[str, Item] = {"entry": type(entry).__name__.lower(), "at": entry.at}
        if isinstance(entry, Seen):
            told["target"], told["kind"] = entry.target, type(entry.evidence).__name__
            told |= _fields(entry.evidence)
        elif isinstance(entry, Ruled):
            told |= {"target": entry.target, "rules": _fields(entry.rules)}
        else:
            told |= _fields(entry)
        yield told


def _fields(value: Entry | tuple[object, ...]) -> dict[str, Item]:
    names: Iterable[str] = getattr(value, "_fields", ())
    return {name: as_item(one) for name, one in zip(names, value, strict=True)}


def _told(entry: Entry) -> tuple[str, str]:
    match entry:
        case Seen():
            return entry.target, str(entry.evidence)
        case Ruled():
            rules = ", ".join(f"{name} {value}" for name, value in entry.rules._asdict().items())
            return entry.target, f"rules: {rules}"
        case Mark():
            return "", f"== {entry.text}"
        case Lost():
            return "", f"-- {entry.entries} entries could not be kept"
        case Session():
            began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry.wall))
            about = "".join(f", {name} {value}" for name, value in entry.about.items())
            return "", f"-- recording began at {began}{about}"
