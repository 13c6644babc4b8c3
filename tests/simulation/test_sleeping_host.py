"""A host that sleeps while users have just come: found by simulation (world 6 of 16 engines)."""

from __future__ import annotations

from collections.abc import Iterable

from serinus.core.evidence import CanaryPassed, Evidence, Load, Registered
from serinus.core.rules import Rules
from serinus.runtime.manager import HealthCheckManager
from serinus.runtime.target import Answer, HealthCheckTarget
from serinus.simulation.memory_loop import MemoryLoop
from tests.runtime.targets import Told


def test_work_that_came_just_before_a_sleep_is_excused() -> None:
    """The judge had not seen it yet when it fell asleep; its silence is the host's all the same."""
    loop = MemoryLoop()  # type: ignore[abstract] # sockets and threads are left out on purpose
    began = loop.time()

    def look(now: float) -> Iterable[Evidence]:
        came = began + 25.5
        return (Load(now, 1, came),) if now >= came else ()

    async def ask() -> Answer:
        return (CanaryPassed(loop.time(), 0.0, 0.0),)

    async def main() -> list[bool]:
        manager = HealthCheckManager(clock=loop.time, slept=lambda: 0.0)
        registered = Registered(began, canary=True)
        target = HealthCheckTarget(
            "t", rules=Rules(jitter=0.0), registered=registered, source=Told(ask, look)
        )
        verdicts: list[bool] = []
        manager.start()
        manager.add(target)
        loop.call_at(began + 26, loop.suspend, 90)
        for at in (20.0, 25.9, 116.5, 140.0):
            future = loop.create_future()
            loop.call_at(began + at, future.set_result, None)
            await future
            verdicts.append(target.standing.verdict.ready)
        await manager.stop()
        return verdicts

    assert loop.run_until_complete(main()) == [True, True, True, True]
