"""An engine (simulated, or scripted by a test) and a sidecar over it, in this process."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession, web

from serinus.core.report import Report
from serinus.core.status import Reason
from serinus.core.verdict import Standing
from serinus.settings import Settings
from serinus.sidecar.sidecar import Sidecar
from serinus.sidecar.stranger import StrangerWatch
from serinus.sidecar.targets import read_targets
from serinus.sidecar.watch import EngineWatch
from serinus.sim.engine import Pace
from serinus.sim.faults import Fault, parse_plan
from serinus.sim.loading import LoadShape
from serinus.sim.options import EngineName, SimOptions
from serinus.sim.server import Simulator

WAIT, DEADLINE, STALL, HANG = 0.3, 0.4, 1.5, 0.6
QUICK: Mapping[str, Any] = {
    "health_check_enabled": True,
    "system_port": -1,
    "canary_wait_time": WAIT,
    "health_check_request_timeout": DEADLINE,
    "health_check_busy_stall": STALL,
    "hang_budget": HANG,
    "scrape_interval": 0.1,
    "engine_health_check_interval": 0.2,
}
"""Everything that is a minute in earnest is about a second here. No status process."""
NOTICED = WAIT + 2 * DEADLINE + 1.0
"""Seconds within which an idle engine's silence must be noticed, on a machine that is busy."""
SLACK = 5
"""How many times longer than an idle one a machine may take that has much else to do."""
STANDS_STILL = {Reason.STALLED, Reason.CANARY_TIMEOUT}
"""Of work that stands still: its budget is over, or a question on top was missed first."""


class Rig:
    """What a test does with a sidecar, and sees of it."""

    def __init__(self, sidecar: Sidecar) -> None:
        self.sidecar = sidecar

    @property
    def watch(self) -> EngineWatch:
        """The watch over the first engine, once it is known of which kind it is."""
        watch = self.sidecar.watches[0]
        if isinstance(watch, StrangerWatch):
            assert watch.known is not None, "not recognised"
            return watch.known
        return watch

    @property
    def report(self) -> Report:
        """What is believed now."""
        return self.sidecar.runtime.report()

    def standing(self, number: int = 0) -> Standing:
        """The standing of an engine, the first if none is named."""
        address = self.sidecar.targets[number].address
        return self.sidecar.runtime.board.endpoints[address].target.standing

    def reason(self, number: int = 0) -> Reason:
        """Why an engine has its status."""
        return self.standing(number).verdict.reason

    @property
    def ready(self) -> bool:
        """Whether traffic may come."""
        return self.report.readiness.ready

    @property
    def live(self) -> bool:
        """Whether a restart would not help."""
        return self.report.liveness.live

    @property
    def canaries(self) -> int:
        """How many canaries have been sent to the first engine."""
        address = self.sidecar.targets[0].address
        return self.sidecar.runtime.board.endpoints[address].target.counts.sent

    @property
    def passed(self) -> int:
        """How many canaries of the first engine have passed."""
        address = self.sidecar.targets[0].address
        return self.sidecar.runtime.board.endpoints[address].target.counts.passed

    async def until(self, claim: Callable[[], bool], *, seconds: float, what: str = "") -> float:
        """Wait until a claim holds; return the seconds that it took.

        `seconds` is what an idle machine needs at the most; another one gets `SLACK` times that.
        """
        began, patience = time.monotonic(), SLACK * seconds
        while not claim():
            took = time.monotonic() - began
            assert took < patience, f"not within {patience:g} s: {what} ({self.reason()})"
            await asyncio.sleep(0.005)
        return time.monotonic() - began

    async def until_ready(self, seconds: float = 5.0) -> float:
        """Wait until traffic may come."""
        return await self.until(lambda: self.ready, seconds=seconds, what="ready")

    async def holds(self, claim: Callable[[], bool], *, seconds: float) -> None:
        """See that a claim holds all the time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert claim(), (self.reason(), self.report.readiness)
            await asyncio.sleep(0.005)


@asynccontextmanager
async def over(
    *urls: str, engine: str = "vllm", metrics_port: int | None = None, **changed: Any
) -> AsyncIterator[Rig]:
    """Watch these engines, with quick settings unless some are changed."""
    settings = Settings(**{**QUICK, **changed})
    targets = read_targets(urls=urls, engine=engine, metrics_port=metrics_port)
    async with Sidecar(settings, targets, handle_signals=False, seed=1) as sidecar:
        yield Rig(sidecar)


class SimRig(Rig):
    """A sidecar over a simulator."""

    def __init__(self, sidecar: Sidecar, sim: Simulator) -> None:
        super().__init__(sidecar)
        self.sim = sim
        self._users: list[asyncio.Task[None]] = []

    def fault(self, text: str) -> None:
        """Put a fault on, counted from now."""
        self.sim.board.add(parse_plan(text).window(time.monotonic()))

    def clear(self, fault: Fault | None = None) -> None:
        """Take faults off."""
        self.sim.board.clear(fault)

    @property
    def inside(self) -> int:
        """The requests that the engine has, wherever it keeps them."""
        engine = self.sim.engine
        return engine.running + engine.waiting + engine.unseen

    def user(self, *, tokens: int = 10_000) -> None:
        """Let a user ask for a long answer, and read it."""
        self._users.append(asyncio.create_task(generate(self.sim.url, tokens), name="a user"))

    async def users_leave(self) -> None:
        """Let every user hang up."""
        for task in self._users:
            task.cancel()
        await asyncio.gather(*self._users, return_exceptions=True)
        self._users.clear()


@asynccontextmanager
async def over_sim(
    *,
    kind: str = "vllm",
    slots: int = 4,
    cores: int = 1,
    load_seconds: float = 0.0,
    load_shape: LoadShape | None = None,
    **changed: Any,
) -> AsyncIterator[SimRig]:
    """Simulate an engine of so many ranks and watch it; wait until it is ready unless it loads."""
    options = SimOptions(
        engine=EngineName(kind),
        ranks=cores,
        port=0,
        context=100_000,
        pace=Pace(slots=slots, step_seconds=0.01, answer_tokens=10_000),
        load_seconds=load_seconds,
        load_shape=load_shape,
    )
    async with (
        Simulator(options, die=lambda: None) as sim,
        over(sim.url, engine=kind, **changed) as rig,
    ):
        watched = SimRig(rig.sidecar, sim)
        try:
            if not load_seconds:
                await watched.until_ready()
            yield watched
        finally:
            await watched.users_leave()


async def generate(url: str, tokens: int) -> None:
    """Ask for so many tokens and read them all."""
    body = {"model": "tiny", "prompt": [1], "max_tokens": tokens, "stream": True}
    async with (
        ClientSession() as session,
        session.post(f"{url}/v1/completions", json={**body, "ignore_eos": True}) as response,
    ):
        assert response.status == 200, await response.text()
        async for _ in response.content:
            pass


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedEngine:
    """A server whose answers a test writes. By default it is a healthy one without metrics."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        """The method and path of every request."""
        self.keys: list[str | None] = []
        """The authorization that each brought."""
        self.answers: dict[str, Answer] = {
            "/v1/models": self.models("tiny"),
            "/v1/completions": self.token(),
            "/health": self.text("ok"),
        }

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer by the script; 404 where it says nothing."""
        self.asked.append(f"{request.method} {request.path}")
        self.keys.append(request.headers.get("authorization"))
        answer = self.answers.get(request.path, self.text("Not Found", status=404))
        return await answer(request)  # type: ignore[arg-type]

    def count(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(line.endswith(f" {path}") for line in self.asked)

    @staticmethod
    def text(text: str, *, status: int = 200, kind: str = "text/plain") -> Answer:
        """Answer with a text."""

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(text=text, status=status, content_type=kind)

        return answer

    @classmethod
    def json(cls, value: object, *, status: int = 200) -> Answer:
        """Answer with JSON."""
        return cls.text(json.dumps(value), status=status, kind="application/json")

    @classmethod
    def models(cls, *names: str) -> Answer:
        """List models."""
        return cls.json({"object": "list", "data": [{"id": name} for name in names]})

    @classmethod
    def token(cls) -> Answer:
        """Stream one token, as vLLM does."""
        choice = {"index": 0, "text": "", "token_ids": [7], "finish_reason": "length"}
        event = json.dumps({"object": "text_completion", "choices": [choice]})
        return cls.text(f"data: {event}\n\ndata: [DONE]\n\n", kind="text/event-stream")

    @classmethod
    def error(cls, status: int, message: str, kind: str = "Error") -> Answer:
        """Answer with an error of OpenAI's shape."""
        return cls.json(
            {"error": {"message": message, "type": kind, "code": status}}, status=status
        )


@asynccontextmanager
async def scripted(engine: ScriptedEngine, *, port: int = 0) -> AsyncIterator[str]:
    """Serve a scripted engine on loopback; gives its URL."""
    runner = web.ServerRunner(web.Server(engine), shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
    await site.start()
    try:
        address: tuple[str, int] = runner.addresses[0]
        yield f"http://127.0.0.1:{address[1]}"
    finally:
        await runner.cleanup()


def free_port() -> int:
    """Return a port of loopback that nobody has now."""
    import socket  # noqa: PLC0415 - one use

    with socket.create_server(("127.0.0.1", 0)) as holder:
        port: int = holder.getsockname()[1]
        return port
