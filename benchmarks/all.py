"""Ask every question, one after the other, and write the answers into docs/benchmarks.md.

    python benchmarks/all.py [--write docs/benchmarks.md] [question …]

Each question runs as a program of its own. Only what stands between the two markers of the
document is written anew; questions that were not asked keep their last answer.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import report
from rivals import HERE

QUESTIONS = (
    "health_throughput",
    "gil_held",
    "startup",
    "memory",
    "idle_cpu",
    "chunk_cost",
    "recording",
    "verdicts",
    "one_slot",
    "gaps",
    "abuse",
    "simulation_speed",
    "fleet_scale",
)
BEGIN = "<!-- answers: written by 'make bench' -->"
END = "<!-- end of the answers -->"


def answer(question: str) -> report.Table:
    """Run one question; its exit status says pass or miss, its output is the table."""
    began = time.monotonic()
    print(f"\n==> {question}", file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, HERE / f"{question}.py", "--json"],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    if not done.stdout:
        raise SystemExit(f"{question} failed with status {done.returncode}")
    table = report.table_from(json.loads(done.stdout))
    print(f"\n{table.text()}\n\n==> {question}: {time.monotonic() - began:.0f} s", flush=True)
    return table


def section(question: str, table: report.Table) -> str:
    """The answer as the document has it, with a marker to find it by."""
    command = f"python benchmarks/{question}.py"
    return f"<!-- {question} -->\n\n{table.markdown(command)}"


def machine() -> str:
    """What the figures were taken on."""
    return (
        f"Taken on {platform.system()} {platform.release()} ({platform.machine()}), "
        f"{os.cpu_count()} processors, Python {platform.python_version()}."
    )


def write(document: Path, answers: dict[str, report.Table]) -> None:
    """Put the answers between the markers."""
    text = document.read_text()
    before, begin, rest = text.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{document} lacks the markers {BEGIN!r} and {END!r}")
    kept = dict(re.findall(r"(<!-- (?:\w+) -->)\n(.*?)(?=<!-- \w+ -->|\Z)", old, re.DOTALL))
    sections = []
    for question in QUESTIONS:
        if question in answers:
            sections.append(section(question, answers[question]))
        elif (marker := f"<!-- {question} -->") in kept:
            sections.append(f"{marker}\n{kept[marker].rstrip()}\n")
    body = "\n".join([machine() + "\n", *sections])
    document.write_text(f"{before}{BEGIN}\n\n{body}\n{END}{after}")


def main() -> None:
    """Ask, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("questions", nargs="*", metavar="question", help=", ".join(QUESTIONS))
    parser.add_argument("--write", type=Path, metavar="DOCUMENT")
    asked = parser.parse_args()
    if strange := set(asked.questions) - set(QUESTIONS):
        parser.error(f"no such question: {', '.join(sorted(strange))}")
    answers: dict[str, report.Table] = {}
    for question in asked.questions or QUESTIONS:
        answers[question] = answer(question)
        if asked.write is not None:
            write(asked.write, answers)
    missed = sum(row.met is False for table in answers.values() for row in table.rows)
    print(f"{missed} targets missed" if missed else "every target was met")


if __name__ == "__main__":
    main()
