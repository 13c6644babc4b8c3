"""A board in virtual time with endpoints on it: everything of the runtime but its process."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from serinus.core.address import EndpointAddress
from serinus.core.history import Transition
from serinus.core.status import Reason
from serinus.core.system_health import Liveness, Readiness
from serinus.core.verdict import Standing
from serinus.runtime.board import Board
from serinus.runtime.endpoint import Endpoint
from serinus.runtime.served import Served
from serinus.runtime.target import HealthCheckTarget
from serinus.runtime.traffic import Traffic
from serinus.settings import Settings
from tests.runtime.engines import Engine

ADDRESS = "demo.backend.generate"
PAYLOAD = {"token_ids": [1]}


def settings(**changed: Any) -> Settings:
    """Return settings with canaries on, a wait of 10 s, a deadline of 1 s and no jitter."""
    chosen: dict[str, Any] = {
        "health_check_enabled": True,
        "canary_wait_time": 10.0,
        "health_check_request_timeout": 1.0,
        "canary_jitter": 0.0,
    }
    return Settings(**(chosen | changed))


class Bench:
    """A board whose clock is the loop's. An async context manager."""

    def __init__(self, seed: int = 1, **changed: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.changes = 0
        self.board = Board(
            settings(**changed), changed=self._changed, clock=self.loop.time, seed=seed
        )
        self.manager = self.board.manager
        self.served: dict[EndpointAddress, Served] = {}
        self.drained = asyncio.Event()
        self.began = self.loop.time()

    async def __aenter__(self) -> Self:
        self.manager.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.manager.stop()

    def _changed(self) -> None:
        self.changes += 1

    async def wait_drained(self) -> None:
        """Wait until somebody sets `drained`."""
        await self.drained.wait()

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.loop.time() - self.began

    def endpoint(self, address: str = ADDRESS) -> Endpoint:
        """Return an endpoint as a runtime makes it."""
        parsed = EndpointAddress.parse(address)
        return Endpoint(parsed, board=self.board, served=self.served, drained=self.wait_drained)

    async def serve(self, engine: Engine, address: str = ADDRESS) -> Endpoint:
        """Serve an engine with a payload."""
        endpoint = self.endpoint(address)
        await endpoint.register(engine.generate, health_check_payload=PAYLOAD)
        return endpoint

    def target(self, address: str = ADDRESS) -> HealthCheckTarget:
        """Return what the manager watches."""
        return self.board.endpoints[EndpointAddress.parse(address)].target

    def standing(self, address: str = ADDRESS) -> Standing:
        """Return what is remembered of an endpoint."""
        return self.target(address).standing

    def ready(self, address: str = ADDRESS) -> bool:
        """Whether an endpoint is ready."""
        return self.standing(address).verdict.ready

    def reason(self, address: str = ADDRESS) -> Reason:
        """Why an endpoint has its status."""
        return self.standing(address).verdict.reason

    def traffic(self, address: str = ADDRESS) -> Traffic:
        """Return the account of an endpoint's traffic."""
        return self.served[EndpointAddress.parse(address)].traffic

    def readiness(self) -> Readiness:
        """Fold readiness now."""
        return self.board.readiness(self.board.health())

    def liveness(self) -> Liveness:
        """Fold liveness now."""
        return self.board.liveness(self.board.health(), self.readiness())

    def turns(self, address: str = ADDRESS) -> list[tuple[float, str]]:
        """Return when an endpoint turned ready or not ready, and why."""
        return [
            (round(turn.at - self.began, 3), turn.reason)
            for turn in self.board.history.transitions
            if turn.subject == address and _turned(turn)
        ]

    async def until_ready(self, address: str = ADDRESS, *, within: float = 60) -> None:
        """Wait until an endpoint is ready."""
        await self._until(address, ready=True, within=within)

    async def until_ready_once_served(self, address: str = ADDRESS) -> None:
        """Wait until an endpoint is there, and ready."""
        parsed = EndpointAddress.parse(address)
        while parsed not in self.board.endpoints:
            assert self.now < 60, "never served"
            await asyncio.sleep(0.005)
        await self.until_ready(address)

    async def until_not_ready(self, address: str = ADDRESS, *, within: float = 60) -> float:
        """Wait until an endpoint is not ready; return how long it took."""
        return await self._until(address, ready=False, within=within)

    async def _until(self, address: str, *, ready: bool, within: float) -> float:
        began = self.now
        while self.ready(address) is not ready:
            assert self.now - began <= within, f"not {ready=} within {within} s"
            await asyncio.sleep(0.005)
        return self.now - began


def _turned(turn: Transition) -> bool:
    return turn.before != turn.after


async def read(stream: Any) -> list[Any]:
    """Read a stream to its end."""
    return [item async for item in stream]


async def first_of(stream: Any) -> Any:
    """Read one item and leave the stream open."""
    return await anext(stream)
