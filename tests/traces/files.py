"""Traces made by hand, without a recorder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from serinus.core.evidence import Evidence
from serinus.traces import Seen, Trace
from serinus.traces.head import Head
from serinus.traces.lines import Item, as_line
from serinus.traces.script import Script
from tests.traces.kinds import Target


def head(session: str = "s", wall: float = 1_000_000.0, segment: int = 0) -> bytes:
    """The first line of a session."""
    return Head(session, segment, wall, {}).line()


def written(*told: tuple[Target, Evidence], session: str = "s", wall: float = 1_000_000.0) -> bytes:
    """A session with evidence, as a recorder writes it."""
    script = Script(start=0.0)
    return head(session, wall) + b"".join(
        script.seen(target, target.rules, evidence) for target, evidence in told
    )


def lines(*payloads: list[Item]) -> bytes:
    """Lines with these payloads."""
    return b"".join(map(as_line, payloads))


def at(folder: Path, data: bytes, name: str = "a.trace") -> Path:
    """A file with this in it."""
    file = folder / name
    file.write_bytes(data)
    return file


def seen_in(trace: Trace) -> list[tuple[str, Evidence]]:
    """The evidence of a trace."""
    return [(one.target, one.evidence) for one in trace.entries if isinstance(one, Seen)]


def flat(told: Iterable[tuple[Target, Evidence]]) -> list[tuple[str, Evidence]]:
    """The same of what was told."""
    return [(target.name, evidence) for target, evidence in told]
