"""Tables in text: columns of one width, the first to the left and the others to the right."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

__all__ = ["screen", "table"]


def screen() -> int | None:
    """Return the columns of the terminal that is written to; None for a file or a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(rows: Sequence[Sequence[str]], *, left: int = 1, within: int | None = None) -> str:
    """Write rows of cells under each other; `left` columns begin at the left.

    If it is wider than `within`, they stand on lines of their own, above the others.

    >>> print(table([["", "a"], ["faults", "12"]]))
             a
    faults  12
    >>> print(table([["trace", "seen"], ["monday", "12"], ["tuesday", "7"]], within=8))
    trace
      seen
    monday
        12
    tuesday
         7
    """
    widths = [max(len(row[n]) for row in rows if n < len(row)) for n in range(max(map(len, rows)))]
    lines = [_line(row, widths, left) for row in rows]
    if within is None or max(map(len, lines)) <= within:
        return "\n".join(lines)
    return "\n".join(
        f"{_line(row[:left], widths, left)}\n  {_line(row[left:], widths[left:], 0)}"
        for row in rows
    )


def _line(row: Sequence[str], widths: Sequence[int], left: int) -> str:
    cells = enumerate(zip(row, widths, strict=False))
    return "  ".join(
        cell.ljust(width) if n < left else cell.rjust(width) for n, (cell, width) in cells
    ).rstrip()
