"""Print what `mutmut run` found, by module of the core; exit with 1 below the score that must hold.

mutmut writes a file of exit codes beside each mutated module: 0 is a mutant that all tests passed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

MUTATED = Path("mutants/src/serinus/core")
LEAST = 0.9


def main() -> int:
    """Print the table."""
    rows = [(file.name.removesuffix(".meta"), *_counted(file)) for file in MUTATED.glob("*.meta")]
    if not rows:
        print(f"{MUTATED}: nothing there; accepted: a tree in which 'mutmut run' has run")
        return 1
    rows = [row for row in sorted(rows) if row[1]]
    total, killed = sum(row[1] for row in rows), sum(row[2] for row in rows)
    print("| module | mutants | killed | score |\n|---|---:|---:|---:|")
    for name, count, dead in [*rows, ("all", total, killed)]:
        print(f"| `{name}` | {count} | {dead} | {dead / count:.1%} |")
    return 0 if killed >= LEAST * total else 1


def _counted(file: Path) -> tuple[int, int]:
    """Return how many mutants of a module there are, and how many some test failed on."""
    codes = json.loads(file.read_text())["exit_code_by_key"].values()
    return len(codes), sum(code not in (0, None, 33) for code in codes)  # 33: no test meets it


if __name__ == "__main__":
    sys.exit(main())
