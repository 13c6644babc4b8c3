"""The writing of a trace: entries become lines, names become numbers the first time they appear.

A line is an array; its first item says what it is (docs/traces.md has the same table):

- `"serinus trace"`, version, object: a session begins, or goes on (`head.py`)
- `"k"`, number, name, names of fields: evidence with this number is of such a kind
- `"t"`, number, name, has a canary: a target with this number is called so
- number, number of the target, the fields: a piece of evidence
- `"r"`, time, number of the target, object: the rules in force from now on
- `"m"`, time, text: a mark, by the recorder
- `"w"`, wall time, text: a mark, by another process
- `"l"`, time, count: so many entries could not be kept
- `"e"`, time: the end, in good order

A reader of the same major version skips what it does not know and counts it.
"""

from __future__ import annotations

from typing import Any, Protocol

from serinus.core.rules import Rules
from serinus.core.verdict import Standing
from serinus.traces.lines import as_line
from serinus.traces.values import as_item, fields_of

__all__ = ["Script", "Watched"]


class Watched(Protocol):
    """A target of the manager, as far as a trace has to know it."""

    name: str
    rules: Rules
    standing: Standing


class Script:
    """Writes the entries of one file; `start` is the clock's time that counts as zero.

    What was named in another file is named again in this one.
    """

    def __init__(self, *, start: float) -> None:
        self._start = start
        self._kinds: dict[type, int] = {}
        self._targets: dict[Watched, int] = {}
        self._rules: dict[int, Rules] = {}

    def seen(self, target: Watched, rules: Rules, evidence: Any) -> bytes:
        """Write a piece of evidence, after what has to be said before it.

        Raises TypeError for what has no place in a trace; nothing is remembered of it then.
        """
        kind = self._kinds.get(type(evidence), len(self._kinds))
        number = self._targets.get(target, len(self._targets))
        known = self._rules.get(number)
        line = as_line([kind, number, *fields_of(evidence, start=self._start)])
        if known is not rules and known != rules:
            told = {name: as_item(value) for name, value in rules._asdict().items()}
            line = as_line(["r", self._since(evidence.at), number, told]) + line
        if target not in self._targets:
            line = as_line(["t", number, target.name, target.standing.canary]) + line
        if type(evidence) not in self._kinds:
            name, fields = type(evidence).__name__, list(type(evidence)._fields)
            line = as_line(["k", kind, name, fields]) + line
        self._kinds[type(evidence)], self._targets[target] = kind, number
        self._rules[number] = rules
        return line

    def mark(self, at: float, text: str) -> bytes:
        """Write a mark."""
        return as_line(["m", self._since(at), text])

    def lost(self, at: float, count: int) -> bytes:
        """Write that entries are missing."""
        return as_line(["l", self._since(at), count])

    def end(self, at: float) -> bytes:
        """Write that this is the end."""
        return as_line(["e", self._since(at)])

    def _since(self, at: float) -> float:
        return round(at - self._start, 6)
