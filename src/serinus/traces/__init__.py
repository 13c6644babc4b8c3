"""Traces: evidence in files, as it was folded, for replay and for people.

A trace is text, a line an entry, each line with its checksum (docs/traces.md has the format).
`Recorder` writes one beside a running judge and never harms it; `read` takes one back, up to any
damage. Nothing here is imported unless something is recorded or read.
"""

from __future__ import annotations

from serinus.traces.entries import Entry, Lost, Mark, Ruled, Seen, Session, Trace
from serinus.traces.marking import append_mark
from serinus.traces.reader import read
from serinus.traces.recorder import Recorder

__all__ = [
    "Entry",
    "Lost",
    "Mark",
    "Recorder",
    "Ruled",
    "Seen",
    "Session",
    "Trace",
    "append_mark",
    "read",
]
