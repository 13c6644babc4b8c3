"""Tables in text: columns of one width, the first to the left and the others to the right."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["table"]


def table(rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Write rows of cells under each other; `left` columns begin at the left.

    >>> print(table([["", "a"], ["faults", "12"]]))
             a
    faults  12
    """
    widths = [max(len(row[n]) for row in rows if n < len(row)) for n in range(max(map(len, rows)))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n < left else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in rows
    )
