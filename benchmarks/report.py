"""The table that answers a question: figures of both rivals from one run, target, pass or miss."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

PASS, MISS = "pass", "MISS"


@dataclass(frozen=True, slots=True)
class Row:
    """One line: cells as they are read, and the same figures for machines.

    ``met`` is nothing where there is no target.
    """

    cells: tuple[str, ...]
    target: str = ""
    met: bool | None = None
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """What the last column says."""
        return "" if self.met is None else PASS if self.met else MISS


@dataclass(frozen=True, slots=True)
class Table:
    """The answer to one question. ``notes`` say how it was measured."""

    question: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: str

    def lines(self) -> list[list[str]]:
        """Heading and rows, with target and outcome."""
        heading = [*self.columns, "target", ""]
        return [heading, *([*row.cells, row.target, row.outcome] for row in self.rows)]

    def text(self) -> str:
        """For a terminal."""
        lines = self.lines()
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        aligned = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([self.question, "", *aligned, "", self.notes])

    def markdown(self, command: str) -> str:
        """For a document."""
        heading, *rows = [
            "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
            for line in self.lines()
        ]
        rule = "|---" * (len(self.columns) + 2) + "|"
        parts = [
            f"### {self.question}",
            "",
            f"`{command}`",
            "",
            heading,
            rule,
            *rows,
            "",
            self.notes,
        ]
        return "\n".join(parts) + "\n"


def table_from(data: dict[str, Any]) -> Table:
    """What ``--json`` printed, read back."""
    rows = tuple(
        Row(tuple(row["cells"]), row["target"], row["met"], row["figures"]) for row in data["rows"]
    )
    return Table(data["question"], tuple(data["columns"]), rows, data["notes"])


def middle(figures: list[float]) -> float:
    """The median, which one noisy repeat does not move."""
    return median(figures)


def spread(figures: list[float], form: str = "{:,.0f}") -> str:
    """Median, with the least and the greatest when there are several."""
    shown = form.format(median(figures))
    if len(figures) == 1:
        return shown
    return f"{shown} ({form.format(min(figures))}–{form.format(max(figures))})"


def main(measure: Callable[[], Table]) -> None:
    """Measure and print, as a table or (``--json``) for machines. Exits 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures for machines")
    as_json = parser.parse_args().json
    table = measure()
    print(json.dumps(asdict(table)) if as_json else table.text())
    sys.exit(any(row.met is False for row in table.rows))
