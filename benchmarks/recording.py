"""What does recording cost a piece of evidence, and how large is it in the file?

In one process: evidence is told to a manager that records and to one that does not, in turn, in
bursts with rests in which the recorder's thread writes. On the loop's thread its own processor time
counts; the whole is the process's, with the thread that encodes and writes. The fastest of each, as
what else runs on the machine can only add.
"""

from __future__ import annotations

import asyncio
import gzip
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import report

from serinus.core.evidence import CanaryPassed, Evidence, Load, Progress, Registered, Witness
from serinus.core.rules import Rules
from serinus.runtime.manager import HealthCheckManager
from serinus.runtime.target import Answer, Asked, HealthCheckTarget
from serinus.traces import Recorder

BURST = 500
BURSTS = 40
REST = 0.1
ON_THE_LOOP, IN_ALL = 2e-6, 40e-6
PLAIN, PACKED = 60.0, 20.0


def evidence(at: float) -> Iterable[Evidence]:
    """What a sidecar sees in a busy second and an idle one."""
    yield Load(at, 3)
    yield Progress(at + 0.0137, Witness.COUNTERS)
    yield Load(at + 0.51, 0)
    yield CanaryPassed(at + 0.9, 0.0312, 0.0327)


async def never() -> Answer:
    """Nobody asks here."""
    return ()


async def told(recorder: Recorder | None) -> tuple[float, float]:
    """Seconds a piece of evidence: of the loop's thread, and of the process; the fastest burst."""
    observe = None if recorder is None else recorder.observe
    manager = HealthCheckManager(observe=observe)
    born = Registered(time.monotonic(), canary=True)
    target = HealthCheckTarget(
        "bench.engine.generate", rules=Rules(), registered=born, source=Asked(never)
    )
    loop_costs, whole_costs = [], []
    for _ in range(BURSTS):
        pieces = [one for n in range(BURST // 4) for one in evidence(time.monotonic() + n)]
        whole = time.process_time()
        loop = time.thread_time()
        for piece in pieces:
            manager.tell(target, piece)
        loop_costs.append((time.thread_time() - loop) / len(pieces))
        await asyncio.sleep(REST)
        whole_costs.append((time.process_time() - whole) / len(pieces))
    return min(loop_costs), min(whole_costs)


def measure() -> report.Table:
    """Both, and the sizes."""
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder) / "a.trace")
        recorder.start()
        bare = asyncio.run(told(None))
        recorded = asyncio.run(told(recorder))
        recorder.close()
        text = recorder.file.read_bytes()
        pieces = recorder.recorded
    packed = len(gzip.compress(text, 6)) / pieces
    plain = len(text) / pieces
    added = [after - before for before, after in zip(bare, recorded, strict=True)]
    return report.Table(
        "Recording, a piece of evidence",
        ("", "without", "with recording", "added"),
        (
            row("µs on the loop's thread", bare[0], recorded[0], added[0], ON_THE_LOOP),
            row("µs of the process, the writing included", bare[1], recorded[1], added[1], IN_ALL),
            size("bytes in the file", plain, PLAIN),
            size("bytes when the file was put away", packed, PACKED),
        ),
        f"{BURSTS} bursts of {BURST} pieces told to the manager; {pieces:,} recorded, "
        f"{recorder.lost} lost.",
    )


def row(what: str, bare: float, recorded: float, added: float, target: float) -> report.Row:
    """A line of microseconds, from seconds."""
    cells = (what, *(f"{1e6 * seconds:.2f}" for seconds in (bare, recorded, added)))
    figures = {"without": bare, "with": recorded}
    return report.Row(cells, f"≤ {1e6 * target:.0f} µs", added <= target, figures)


def size(what: str, bytes_each: float, target: float) -> report.Row:
    """A line of bytes."""
    cells = (what, "", f"{bytes_each:.1f}", "")
    return report.Row(cells, f"≤ {target:.0f}", bytes_each <= target, {"bytes": bytes_each})


if __name__ == "__main__":
    report.main(measure)
