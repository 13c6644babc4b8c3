"""What an engine's metrics say of its work: how much there is, and whether any of it gets done.

A number that is not on the page is None, unknown, and never zero: an engine that is not heard of
is not an idle one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

__all__ = [
    "CounterNames",
    "Counters",
    "Samples",
    "by_rank",
    "largest",
    "only",
    "progress",
    "read_counters",
]

Samples: TypeAlias = Mapping[str, Sequence[tuple[Mapping[str, str], float]]]
"""A metrics page: by sample name, the labels and the value of every sample."""

_NO_END = (("finished_reason", "abort"), ("finished_reason", "error"), ("status", "error"))
"""Requests that were given up are no progress: on a hung engine, callers give up in numbers."""


@dataclass(frozen=True, slots=True)
class Counters:
    """One reading of an engine, summed over its parts and models. None: the page does not say."""

    running: float | None = None
    """Requests being worked on now."""
    waiting: float | None = None
    """Requests in its queue now."""
    tokens: float | None = None
    """Tokens brought since it started; it moves in the middle of a request."""
    steps: float | None = None
    """Steps made since it started; it moves in the middle of a request."""
    finished: float | None = None
    """Requests brought to their end since it started."""
    ended: float | None = None
    """Tokens of requests that came to their end: it moves when one does, and never between."""
    prompts: float | None = None
    """Prompt tokens read since it started."""
    gaps: float | None = None
    """Times from token to token since it started, one for each token of a request but its first."""
    gap_seconds: float | None = None
    """What they add up to."""

    @property
    def pending(self) -> float | None:
        """Work under way or queued; None as long as neither number is known."""
        known = [number for number in (self.running, self.waiting) if number is not None]
        return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class CounterNames:
    """Which samples mean what; several names are added, because an engine has some of them."""

    running: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    finished: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()
    gap_seconds: tuple[str, ...] = ()

    @property
    def all(self) -> frozenset[str]:
        """Every name."""
        return frozenset(name for field in fields(self) for name in getattr(self, field.name))


def read_counters(samples: Samples, names: CounterNames) -> Counters:
    """Add up what a page says under these names.

    >>> page = {"a": [({"engine": "0"}, 1.0), ({"engine": "1"}, 2.0)]}
    >>> read = read_counters(page, CounterNames(running=("a",), waiting=("b",)))
    >>> read.running, read.waiting, read.tokens
    (3.0, None, None)
    """
    return Counters(
        running=_total(samples, names.running),
        waiting=_total(samples, names.waiting),
        tokens=_total(samples, names.tokens),
        steps=_total(samples, names.steps),
        finished=_total(samples, names.finished),
        ended=_total(samples, names.ended),
        prompts=_total(samples, names.prompts),
        gaps=_total(samples, names.gaps),
        gap_seconds=_total(samples, names.gap_seconds),
    )


def by_rank(samples: Samples, label: str, names: CounterNames) -> dict[int, Counters]:
    """Read a page for each rank that a label names; samples without that label are nobody's.

    >>> page = {"a": [({"engine": "0"}, 1.0), ({"engine": "1"}, 2.0), ({}, 3.0)]}
    >>> {rank: found.running for rank, found in
    ...  by_rank(page, "engine", CounterNames(running=("a",))).items()}
    {0: 1.0, 1: 2.0}
    """
    parts: dict[int, dict[str, list[tuple[Mapping[str, str], float]]]] = {}
    for name in names.all:
        for labels, value in samples.get(name, ()):
            rank = labels.get(label, "")
            if rank.isascii() and rank.isdigit():
                parts.setdefault(int(rank), {}).setdefault(name, []).append((labels, value))
    return {rank: read_counters(parts[rank], names) for rank in sorted(parts)}


def only(samples: Samples, names: Iterable[str], *, label: str, value: str) -> Samples:
    """Leave out the samples of these names whose label has another value.

    >>> page = {"a": [({"mode": "decode"}, 2.0), ({"mode": "prefill"}, 1.0)], "b": [({}, 3.0)]}
    >>> only(page, ("a",), label="mode", value="decode")
    {'a': [({'mode': 'decode'}, 2.0)], 'b': [({}, 3.0)]}
    """
    kept = {
        name: [(labels, number) for labels, number in samples[name] if labels.get(label) == value]
        for name in names
        if name in samples
    }
    return {**samples, **kept}


def largest(samples: Samples, over: frozenset[str]) -> Samples:
    """Take samples that differ in these labels alone for one: the largest of them.

    Several processes that run the same requests report each of them.

    >>> page = {"a": [({"tp": "0", "dp": "0"}, 2.0), ({"tp": "1", "dp": "0"}, 1.0)]}
    >>> largest(page, frozenset({"tp"}))
    {'a': [({'dp': '0'}, 2.0)]}
    """
    taken: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for name, found in samples.items():
        most: dict[tuple[tuple[str, str], ...], float] = {}
        for labels, value in found:
            rest = tuple(sorted((key, text) for key, text in labels.items() if key not in over))
            most[rest] = max(value, most.get(rest, value))
        taken[name] = [(dict(rest), value) for rest, value in most.items()]
    return taken


def progress(before: Counters, after: Counters) -> bool | None:
    """Say whether work got done between two readings; None where they cannot tell.

    True: tokens, steps or finished requests went up. None: one of them went down, which is another
    engine under the same address (take `after` as the new base), or nothing moved and neither
    tokens nor steps is known, because a long request moves only those. False: they stood still.

    >>> progress(Counters(tokens=5), Counters(tokens=6))
    True
    >>> progress(Counters(tokens=5), Counters(tokens=5))
    False
    >>> progress(Counters(tokens=5), Counters(tokens=0)) is None
    True
    >>> progress(Counters(finished=5), Counters(finished=5)) is None
    True
    """
    pairs = (
        (before.tokens, after.tokens),
        (before.steps, after.steps),
        (before.finished, after.finished),
    )
    moves = [None if old is None or new is None else new - old for old, new in pairs]
    known = [move for move in moves if move is not None]
    if any(move < 0 for move in known):
        return None
    if any(move > 0 for move in known):
        return True
    during = moves[:2]
    return None if all(move is None for move in during) else False


def _total(samples: Samples, names: Iterable[str]) -> float | None:
    values = [
        value
        for name in names
        for labels, value in samples.get(name, ())
        if math.isfinite(value) and not any(labels.get(key) == word for key, word in _NO_END)
    ]
    return math.fsum(values) if values else None
