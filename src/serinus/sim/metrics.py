"""A metrics page in Prometheus' text format: counters, gauges and histograms with fixed labels.

Written as the engines' own client library writes it (values as floats, labels in order of their
names, a `_created` gauge behind every counter and histogram), so that a reader meets nothing new.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

__all__ = ["Counter", "Family", "Gauge", "Histogram", "Joined", "Labels", "page"]

Labels = Mapping[str, str]


def _label_text(labels: Labels) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

    inner = ",".join(f'{name}="{escaped(value)}"' for name, value in sorted(labels.items()))
    return f"{{{inner}}}" if inner else ""


class Family(Protocol):
    """Some lines of a page that belong together."""

    name: str

    def lines(self, created: float) -> Iterator[str]:
        """Yield the lines; `created` is when counting began (Unix seconds)."""


class Gauge:
    """A value for each set of labels."""

    kind = "gauge"

    def __init__(self, name: str, about: str, *labels: Labels, value: float = 0.0) -> None:
        self.name = name
        self.about = about
        self._values = {_label_text(each): value for each in labels}

    def set(self, value: float, labels: Labels) -> None:
        """Set the value of one set of labels."""
        self._values[_label_text(labels)] = value

    def add(self, value: float, labels: Labels) -> None:
        """Add to the value of one set of labels."""
        self._values[_label_text(labels)] += value

    def lines(self, created: float) -> Iterator[str]:
        """Yield the lines of the page."""
        yield from Joined((self,)).lines(created)

    def samples(self) -> Iterator[str]:
        """Yield the lines with the values."""
        for labels, value in self._values.items():
            yield f"{self.name}{labels} {float(value)}"

    def born(self) -> Iterable[str]:
        """Return the labels of what has a time of its beginning."""
        return self._values if self.kind == "counter" else ()


class Counter(Gauge):
    """A value that only grows, for each set of labels; its name ends in `_total`."""

    kind = "counter"


class Histogram:
    """How often a value was at most each bound, for one set of labels."""

    kind = "histogram"

    def __init__(self, name: str, about: str, bounds: Sequence[float], labels: Labels) -> None:
        self.name = name
        self.about = about
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        self._labels = dict(labels)

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, created: float) -> Iterator[str]:
        """Yield the lines of the page."""
        yield from Joined((self,)).lines(created)

    def samples(self) -> Iterator[str]:
        """Yield the lines with the values."""
        seen = 0
        bounds = (*(str(float(bound)) for bound in self._bounds), "+Inf")
        for bound, count in zip(bounds, self._counts, strict=True):
            seen += count
            yield f"{self.name}_bucket{_label_text({**self._labels, 'le': bound})} {float(seen)}"
        labels = _label_text(self._labels)
        yield f"{self.name}_count{labels} {float(seen)}"
        yield f"{self.name}_sum{labels} {self._sum}"

    def born(self) -> Iterable[str]:
        """Return the labels of what has a time of its beginning."""
        return (_label_text(self._labels),)


class Joined:
    """The same family of several ranks, each with labels of its own, as one family of a page.

    What has no label of a rank is there once, as the first of them has it.
    """

    def __init__(self, parts: Sequence[Gauge | Histogram]) -> None:
        self.name = parts[0].name
        self._parts = parts

    def lines(self, created: float) -> Iterator[str]:
        """Yield the lines of the page."""
        first = self._parts[0]
        yield from _head(self.name, first.about, first.kind)
        seen: set[str] = set()
        for part in self._parts:
            for line in part.samples():
                series = line.rpartition(" ")[0]
                if series not in seen:
                    seen.add(series)
                    yield line
        born = dict.fromkeys(labels for part in self._parts for labels in part.born())
        if born:
            name = self.name.removesuffix("_total") if first.kind == "counter" else self.name
            yield from _born(name, first.about, born, created)


def _head(name: str, about: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"


def _born(name: str, about: str, labels: Iterable[str], created: float) -> Iterator[str]:
    yield from _head(f"{name}_created", about, "gauge")
    for each in labels:
        yield f"{name}_created{each} {created}"


def page(families: Sequence[Family], *, created: float) -> str:
    """Join the families into a page."""
    return "".join(f"{line}\n" for family in families for line in family.lines(created))
