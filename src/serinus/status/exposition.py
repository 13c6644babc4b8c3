"""Prometheus text (version 0.0.4), written fast: labels are rendered once, samples many times."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Exposition", "HistogramLabels", "labels"]


def labels(pairs: Mapping[str, str]) -> str:
    r"""Render labels, to be kept and used for many samples.

    >>> labels({"model": 'a"b', "rank": "0"})
    '{model="a\\"b",rank="0"}'
    >>> labels({})
    ''
    """
    if not pairs:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs.items()) + "}"


class HistogramLabels:
    """The labels of one histogram's series, rendered for each of its buckets.

    `bounds` are the buckets' upper bounds, ascending; the one for +Inf is added.
    """

    __slots__ = ("buckets", "plain")

    def __init__(self, plain: str, bounds: Sequence[float]) -> None:
        self.plain = plain
        before = plain[:-1] + "," if plain else "{"
        self.buckets = tuple(f'{before}le="{_number(bound)}"}}' for bound in (*bounds, math.inf))


class Exposition:
    """Collects families of samples; each family is written once, with all of its samples."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def counter(self, name: str, meaning: str, samples: Iterable[tuple[str, float]]) -> None:
        """Write a counter; samples are pairs of rendered labels and values."""
        self._family(name, "counter", meaning, samples)

    def gauge(self, name: str, meaning: str, samples: Iterable[tuple[str, float]]) -> None:
        """Write a gauge; samples are pairs of rendered labels and values."""
        self._family(name, "gauge", meaning, samples)

    def histogram(
        self,
        name: str,
        meaning: str,
        samples: Iterable[tuple[HistogramLabels, Sequence[int], float]],
    ) -> None:
        """Write a histogram.

        Samples are labels, the count of each bucket alone (not of those below it; the last is for
        what is above all bounds), and the sum of all values.
        """
        self._head(name, "histogram", meaning)
        lines = self._lines
        for series, counts, total in samples:
            running = 0
            for bucket, count in zip(series.buckets, counts, strict=True):
                running += count
                lines.append(f"{name}_bucket{bucket} {running}")
            lines.append(f"{name}_sum{series.plain} {_number(total)}")
            lines.append(f"{name}_count{series.plain} {running}")

    def render(self) -> bytes:
        """Return the whole text."""
        return "".join(f"{line}\n" for line in self._lines).encode()

    def _family(
        self, name: str, kind: str, meaning: str, samples: Iterable[tuple[str, float]]
    ) -> None:
        self._head(name, kind, meaning)
        self._lines += [f"{name}{label} {_number(value)}" for label, value in samples]

    def _head(self, name: str, kind: str, meaning: str) -> None:
        told = meaning.replace("\\", "\\\\").replace("\n", "\\n")
        self._lines.append(f"# HELP {name} {told}")
        self._lines.append(f"# TYPE {name} {kind}")


def _number(value: float) -> str:
    if value == math.inf:
        return "+Inf"
    if value == -math.inf:
        return "-Inf"
    return "NaN" if math.isnan(value) else repr(value)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
