"""One host in virtual time: a board, and simulated engines on it, from a seed.

Everything in it follows from the seed and the settings. A host that sleeps stops the judge, and
those engines that run on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serinus.core.address import EndpointAddress
from serinus.core.evidence import Evidence
from serinus.core.group import Group, Kind
from serinus.runtime.board import Board
from serinus.runtime.target import HealthCheckTarget
from serinus.settings import Settings
from serinus.simulation.engine import SimulatedEngine
from serinus.simulation.faults import Fault, Window
from serinus.simulation.library import SimulatedEndpoint
from serinus.simulation.memory_loop import MemoryLoop
from serinus.simulation.record import Record
from serinus.simulation.schedule import Schedule, generate

__all__ = ["Plan", "asleep_in", "judged_by_serinus", "schedules"]


_WHOLE = EndpointAddress.parse("simulation.engine.generate")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to simulate. `seconds` long, `engines` on one host; `ranks`: they are those of one."""

    seed: int
    seconds: float = 3600.0
    engines: int = 1
    faults: tuple[Fault, ...] = tuple(Fault)
    busy: bool = False
    ranks: bool = False


def schedules(plan: Plan) -> tuple[Schedule, ...]:
    """Return the schedule of each engine; the host's sleep is the first one's, for all of them."""
    made: list[Schedule] = []
    for number in range(plan.engines):
        faults = plan.faults if number == 0 else _without_sleep(plan.faults)
        name = f"{plan.seed}.{number}"
        made.append(generate(name, seconds=plan.seconds, faults=faults, busy=plan.busy))
    return tuple(made)


def judged_by_serinus(
    drawn: Sequence[Schedule],
    settings: Mapping[str, Any],
    *,
    seed: int,
    trace: bool = False,
    ranks: bool = False,
) -> tuple[Record, ...]:
    """Let Serinus judge these engines, all on one host; the records are in the same order.

    `settings` are changes to the defaults; canaries are on. `ranks`: they are the data-parallel
    ranks of one engine, a group, and take turns.
    """
    loop = MemoryLoop()  # type: ignore[abstract] # sockets and threads are left out on purpose
    quiet = logging.getLogger("serinus")
    level = quiet.level
    quiet.setLevel(logging.CRITICAL + 1)
    try:
        records: tuple[Record, ...] = loop.run_until_complete(
            _judged(loop, drawn, settings, seed, trace=trace, ranks=ranks)
        )
    finally:
        quiet.setLevel(level)
        loop.close()
    return records


async def _judged(
    loop: MemoryLoop,
    drawn: Sequence[Schedule],
    settings: Mapping[str, Any],
    seed: int,
    *,
    trace: bool,
    ranks: bool,
) -> tuple[Record, ...]:
    began = loop.time()
    asleep = _sleeps(drawn, began)
    records = [
        Record("serinus", one.seconds, history=list(one.lines()) if trace else None)
        for one in drawn
    ]
    named: dict[str, Record] = {}

    def observe(target: HealthCheckTarget, evidence: Evidence) -> None:
        named[target.name].tell(loop.time() - began, str(evidence))

    def changed() -> None:
        for endpoint in served:
            if endpoint.target.standing is not endpoint.written:
                endpoint.changed()

    endpoints: list[SimulatedEndpoint] = []
    served: list[SimulatedEndpoint] = []
    chosen = Settings(**{"health_check_enabled": True, "system_port": -1, **settings})
    board = Board(
        chosen,
        changed=changed,
        clock=loop.time,
        seed=seed,
        observe=observe if trace else None,
        slept=lambda: 0.0,
    )
    group = board.groups.gather(Group.of(_WHOLE, Kind.DATA_PARALLEL))
    for number, (schedule, record) in enumerate(zip(drawn, records, strict=True)):
        engine = SimulatedEngine(schedule, began=began, asleep=asleep)
        name = f"engine-{number}"
        address = EndpointAddress.parse(f"simulation.{name}.generate")
        if ranks:
            board.groups.join(group, address, rank=number)
        named[str(address)] = record
        endpoints.append(SimulatedEndpoint(engine, board, record, name))
    for endpoint in endpoints:
        endpoint.serve()
        served.append(endpoint)
    for window in asleep:
        loop.call_at(window.start, loop.suspend, window.end - window.start)
    board.manager.start()
    await asyncio.sleep(max(one.seconds for one in drawn))
    await board.manager.stop()
    for endpoint, record in zip(endpoints, records, strict=True):
        record.canaries = endpoint.target.counts.sent
    return tuple(records)


def _sleeps(drawn: Sequence[Schedule], began: float) -> tuple[Window, ...]:
    return tuple(
        window._replace(start=began + window.start, end=began + window.end)
        for one in drawn
        for window in one.windows
        if window.fault is Fault.SUSPEND
    )


def _without_sleep(faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    return tuple(fault for fault in faults if fault is not Fault.SUSPEND)


def asleep_in(drawn: Sequence[Schedule]) -> tuple[Window, ...]:
    """Return when the host of these engines sleeps, in seconds of the schedules."""
    return _sleeps(drawn, 0.0)
