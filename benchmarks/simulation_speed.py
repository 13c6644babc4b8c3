"""How many hours of engines does the simulation judge in a minute, on one core?

Default settings with canaries on, all kinds of faults, users from none to many: the real board,
manager and core in virtual time, 32 engines a world. The processor's time is counted, so that what
else runs on the machine is not. How the interpreter was built makes a fifth of it: it needs nothing
but `src` on its path, and can be run by another one than the project's.
"""

from __future__ import annotations

import sys
import time

import report

from serinus.simulation.world import Plan, judged_by_serinus, schedules

ENGINES = 32
ROUNDS = 7
TARGET = 1000.0


def rate(seed: int) -> float:
    """Engine-hours a minute of the processor's time, in one world of an hour."""
    drawn = schedules(Plan(seed, engines=ENGINES))
    began = time.process_time()
    judged_by_serinus(drawn, {}, seed=seed)
    return ENGINES * 60 / (time.process_time() - began)


def measure() -> report.Table:
    """The median over a few worlds."""
    rates = [rate(seed) for seed in range(ROUNDS)]
    middle = report.middle(rates)
    cells = (f"{ENGINES} engines a world", f"{min(rates):,.0f}", f"{middle:,.0f}")
    return report.Table(
        "Engine-hours judged in a minute of one core",
        ("", "slowest world", "median"),
        (report.Row(cells, f"≥ {TARGET:,.0f}", middle >= TARGET, {"rate": rates}),),
        f"{ROUNDS} worlds of an hour each. Python {' '.join(sys.version.split())}.",
    )


if __name__ == "__main__":
    report.main(measure)
