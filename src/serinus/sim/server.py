"""The simulator as a whole: an engine, its faults, its port, and their lifetimes.

async with Simulator(SimOptions(port=0)) as simulator:
    print(simulator.url)
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, NoReturn, Self

from serinus.errors import LifecycleError
from serinus.sim.control import Control
from serinus.sim.engine import Engine
from serinus.sim.faults import Board, Fault
from serinus.sim.flavours import FLAVOURS, Flavour, Ranked
from serinus.sim.front import Front
from serinus.sim.listener import Place
from serinus.sim.loading import Phase, phase_at
from serinus.sim.options import SimOptions
from serinus.sim.port import Port
from serinus.sim.ranks import Ranks

__all__ = ["CRASH_CODE", "Simulator", "die"]

logger = logging.getLogger(__name__)

CRASH_CODE = 70  # EX_SOFTWARE of sysexits.h: told apart from a wrong command line (2)


def die() -> NoReturn:
    """End this process as a crash does: at once, with nothing tidied up."""
    print("serinus sim: the fault 'crash' ends this process", file=sys.stderr, flush=True)
    os._exit(CRASH_CODE)


def _report(task: asyncio.Task[None]) -> None:
    """Say at once that a part has ended that was not to end, whoever may be waiting for it."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("%s has failed", task.get_name(), exc_info=error)


class Simulator:
    """A simulated engine that serves HTTP from `start` to `close`. `die` is what a crash does."""

    def __init__(
        self,
        options: SimOptions,
        *,
        clock: Callable[[], float] = time.monotonic,
        die: Callable[[], object] = die,
    ) -> None:
        self.options = options
        self.board = Board(clock=clock)
        self._clock = clock
        flavour = FLAVOURS[options.engine](options)
        self.engine = Ranks([self._core(flavour, rank) for rank in range(options.ranks)])
        control = Control(options, self.engine, self.board, phase=self.phase, clock=clock)
        self._front = Front(flavour, self.engine, control)
        self._load_shape = options.load_shape or flavour.load_shape
        self._die = die
        self._began = clock()
        self._changed = asyncio.Event()
        self.board.listen(self._changed.set)
        self.board.listen(self._freeze)
        self._ports: list[Port] = []
        self._tasks: list[asyncio.Task[None]] = []

    def _core(self, flavour: Flavour, rank: int) -> Engine:
        observer = flavour.observer_of(rank) if isinstance(flavour, Ranked) else flavour.observer
        board = self.board.of_rank(rank)
        return Engine(self.options.pace, board, observer=observer, clock=self._clock)

    @property
    def url(self) -> str:
        """The address of the engine, as `http://127.0.0.1:8000`."""
        return self._port(0).url

    @property
    def control_url(self) -> str:
        """The address of the control routes: a port of their own if there is one."""
        return self._port(-1).url

    def phase(self) -> Phase:
        """Say how far the model is loaded."""
        return self._phase()[0]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Take the port, begin to load, and put the planned faults on the board.

        Raises:
            SettingsError: The port is in use, or the host is none of ours.
            LifecycleError: It was started before.
        """
        if self._ports:
            raise LifecycleError("a simulator is started once")
        options = self.options
        self._ports.append(Port(Place(options.host, options.port), self._front.application()))
        try:
            if options.control_port is not None:
                place = Place("127.0.0.1", options.control_port, flag="--control-port")
                self._ports.append(Port(place, self._front.controls()))
            self._began = self._clock()
            for plan in options.faults:
                self.board.add(plan.window(self._began))
            for port in self._ports:
                await port.start()
            await self._settle()
            for port in self._ports[1:]:
                await port.open()
        except BaseException:
            await self.close()
            raise
        for rank, core in enumerate(self.engine.cores):
            self._spawn(core.run(), f"serinus sim: engine{f' {rank}' if rank else ''}")
        self._spawn(self._watch(), "serinus sim: port and crash")

    async def close(self) -> None:
        """Stop serving and give the port back; answers under way get half a second."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for port in self._ports:
            await port.close()

    async def serve(self, stop: asyncio.Event) -> None:
        """Wait until `stop` is set.

        Raises:
            Exception: What ended a part of the simulator that was not to end.
        """
        waiting = asyncio.create_task(stop.wait(), name="serinus sim: stop")
        try:
            done, _ = await asyncio.wait(
                {waiting, *self._tasks}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done - {waiting}:
                task.result()
        finally:
            waiting.cancel()

    def _port(self, index: int) -> Port:
        if not self._ports:
            raise LifecycleError("the simulator has no address before it is started")
        return self._ports[index]

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_report)
        self._tasks.append(task)

    def _phase(self) -> tuple[Phase, float]:
        elapsed = self._clock() - self._began
        return phase_at(self._load_shape, seconds=self.options.load_seconds, elapsed=elapsed)

    def _freeze(self) -> None:
        self._front.freeze(frozen=self.board.on(Fault.FROZEN_METRICS))

    async def _watch(self) -> None:
        """Do what faults and loading mean for the port and the process, whenever that changes."""
        while True:
            left = await self._settle()
            limit = min(left, self.board.next_change())
            try:
                async with asyncio.timeout(None if limit == float("inf") else limit):
                    await self._changed.wait()
            except TimeoutError:
                continue
            self._changed.clear()

    async def _settle(self) -> float:
        """Bring the port into line with the moment; return the seconds the phase still lasts."""
        if self.board.on(Fault.CRASH):
            self._die()
        phase, left = self._phase()
        self._front.loading = phase is not Phase.READY
        self._freeze()
        if phase is Phase.CLOSED or self.board.on(Fault.REFUSE):
            await self._ports[0].shut()
        else:
            await self._ports[0].open()
        return left
