"""How many hours of engines does the simulation judge in a minute, on one core?

Default settings with canaries on, all kinds of faults, users from none to many: the real board,
manager and core in virtual time, 32 engines a world. The processor's time is counted, so that what
else runs on the machine is not. How an interpreter was built makes a sixth of it, so the system's
own is asked too if it is another one: that is what the target is for, where there is one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import report

from serinus.simulation.world import Plan, judged_by_serinus, schedules

HERE = Path(__file__).parent
SYSTEM = Path("/usr/bin/python3")
ENGINES = 32
ROUNDS = 7
TARGET = 1000.0


def rate(seed: int) -> float:
    """Engine-hours a minute of the processor's time, in one world of an hour."""
    drawn = schedules(Plan(seed, engines=ENGINES))
    began = time.process_time()
    judged_by_serinus(drawn, {}, seed=seed)
    return ENGINES * 60 / (time.process_time() - began)


def rates() -> tuple[str, list[float]]:
    """This interpreter, and what it reaches in a few worlds."""
    return " ".join(sys.version.split()), [rate(seed) for seed in range(ROUNDS)]


def of_the_system() -> tuple[str, list[float]] | None:
    """The same of the system's interpreter; None where that is this one, or too old."""
    code = "import json, simulation_speed; print(json.dumps(simulation_speed.rates()))"
    places = os.pathsep.join((str(HERE.parent / "src"), str(HERE)))
    if not SYSTEM.exists() or SYSTEM.resolve() == Path(sys.executable).resolve():
        return None
    run = subprocess.run(
        [SYSTEM, "-c", code],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        return None
    python, found = json.loads(run.stdout)
    return str(python), found


def row(python: str, reached: list[float], *, last: bool) -> report.Row:
    """One interpreter; the last one has to meet the target."""
    middle = report.middle(reached)
    cells = (f"Python {python}", f"{min(reached):,.0f}", f"{middle:,.0f}")
    if not last:
        return report.Row(cells, figures={"rate": reached})
    return report.Row(cells, f"≥ {TARGET:,.0f}", middle >= TARGET, {"rate": reached})


def measure() -> report.Table:
    """The median over a few worlds."""
    found = [one for one in (rates(), of_the_system()) if one is not None]
    rows = tuple(row(*one, last=number == len(found)) for number, one in enumerate(found, start=1))
    return report.Table(
        "Engine-hours judged in a minute of one core",
        ("", "slowest world", "median"),
        rows,
        f"{ROUNDS} worlds of {ENGINES} engines for an hour each.",
    )


if __name__ == "__main__":
    report.main(measure)
