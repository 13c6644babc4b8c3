"""How soon after the process starts does the status port answer, and what does the import cost?

Each rival's smallest worker is started ten times, in turn, and its port is asked until it answers
anything at all, and until it answers 200. Imports are timed as whole processes, each less one
that leaves out the last import. ``import serinus`` alone loads next to nothing; ``from serinus
import Runtime`` loads the library, whose worker has asyncio anyway.

Our working tree is compiled first, as pip compiles what it installs, and so did Dynamo's wheel.
"""

from __future__ import annotations

import compileall
import socket
import subprocess
import time
from pathlib import Path

import probes
import report
from rivals import DYNAMO, HERE, OURS, Rival, environment, free_port

REPEATS = 10
FIRST_ANSWER = 0.100
IMPORT = 0.060
IMPORTS = {
    "import of the package, over bare Python": (
        "",
        {OURS.name: "import serinus", DYNAMO.name: "import dynamo.runtime"},
    ),
    "import of the runtime, over asyncio": (
        "import asyncio",
        {
            OURS.name: "import asyncio; from serinus import Runtime",
            DYNAMO.name: "import asyncio; from dynamo.runtime import DistributedRuntime",
        },
    ),
}
SCRIPTS = {OURS.name: "minimal_serinus.py", DYNAMO.name: "minimal_dynamo.py"}


def answers_after(rival: Rival) -> tuple[float, float]:
    """Seconds from the start of the process to any answer, and to the first 200."""
    port = free_port()
    command = [rival.python, HERE / SCRIPTS[rival.name]]
    began = time.monotonic()
    with subprocess.Popen(
        command, env=environment(rival, port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            return until(port, began, any_status=True), until(port, began, any_status=False)
        finally:
            process.kill()


def until(port: int, began: float, *, any_status: bool) -> float:
    """Ask every 2 ms until there is an answer, or until it is 200; seconds since the start."""
    while time.monotonic() < began + 30:
        if listens(port):
            answer = probes.ask(port)
            if answer.status == 200 or (any_status and answer.status):
                return time.monotonic() - began
        time.sleep(0.002)
    raise RuntimeError("no such answer in 30 s")


def listens(port: int) -> bool:
    """Whether a connection is accepted, cheaply."""
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def takes(python: Path, code: str) -> float:
    """Seconds that an interpreter takes to run the code, from start to end of the process."""
    began = time.monotonic()
    subprocess.run([python, "-c", code], check=True)
    return time.monotonic() - began


def import_takes(rival: Rival, base: str, whole: str) -> float:
    """Seconds that the import adds to a process that has the base."""
    before = takes(rival.python, base)
    return takes(rival.python, whole) - before


def compile_ours() -> None:
    """Write down the bytecode, also where an environment variable forbids Python to."""
    if not compileall.compile_dir(HERE.parent / "src", quiet=1):
        raise RuntimeError("the package does not compile")


def measure() -> report.Table:
    """Both rivals, in turn."""
    compile_ours()
    anything: dict[str, list[float]] = {OURS.name: [], DYNAMO.name: []}
    ready: dict[str, list[float]] = {OURS.name: [], DYNAMO.name: []}
    floor: dict[str, list[float]] = {OURS.name: [], DYNAMO.name: []}
    imports = {what: {OURS.name: list[float](), DYNAMO.name: list[float]()} for what in IMPORTS}
    for _ in range(REPEATS):
        for rival in (OURS, DYNAMO):
            first, ok = answers_after(rival)
            anything[rival.name].append(first)
            ready[rival.name].append(ok)
            floor[rival.name].append(takes(rival.python, "import asyncio"))
            for what, (base, whole) in IMPORTS.items():
                imports[what][rival.name].append(import_takes(rival, base, whole[rival.name]))
    package, runtime = IMPORTS
    return report.Table(
        "The first answer after process start, and the cost of the import",
        ("", "Serinus, ms", "Dynamo, ms", "ratio"),
        (
            row("first answer on the status port", anything, FIRST_ANSWER),
            row("for scale: a process that only imports asyncio", floor, None),
            row("first 200 (canary wait 1 s)", ready, None),
            row(package, imports[package], IMPORT),
            row(runtime, imports[runtime], None),
        ),
        f"{REPEATS} starts each, in turn: median (least–greatest). Both packages are compiled, as "
        "pip leaves them.",
    )


def row(what: str, seconds: dict[str, list[float]], target: float | None) -> report.Row:
    """One line; the target is in seconds."""
    ours, theirs = seconds[OURS.name], seconds[DYNAMO.name]
    ratio = report.middle(ours) / report.middle(theirs)
    shown = [report.spread([1000 * s for s in figures]) for figures in (ours, theirs)]
    figures = {"ours": ours, "dynamo": theirs, "ratio": ratio}
    if target is None:
        return report.Row((what, *shown, f"{ratio:.2f}×"), figures=figures)
    met = report.middle(ours) <= target
    return report.Row((what, *shown, f"{ratio:.2f}×"), f"≤ {1000 * target:.0f} ms", met, figures)


if __name__ == "__main__":
    report.main(measure)
