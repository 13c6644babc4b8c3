"""A simulator on a free port, and a client of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from serinus.sim.engine import Pace
from serinus.sim.faults import parse_plan
from serinus.sim.options import EngineName, SimOptions
from serinus.sim.server import Simulator

#: Quick, and with few slots.
QUICK = Pace(slots=2, queue=4, step_seconds=0.005, prefill_seconds=0.0)
ONE = {"model": "tiny", "prompt": "the", "max_tokens": 1}
LONG = {"model": "tiny", "prompt": "the", "max_tokens": 2000, "ignore_eos": True}
SOON = 5.0  # seconds that a test waits for something that is about to happen


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    text: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)

    @property
    def events(self) -> list[str]:
        """The data of the events of a stream."""
        return [part.removeprefix("data: ") for part in self.text.split("\n\n") if part]


class Client:
    """Talks to a simulator; `simulator` is there for what HTTP does not tell."""

    def __init__(self, simulator: Simulator, session: aiohttp.ClientSession) -> None:
        self.simulator = simulator
        self.session = session

    async def ask(self, method: str, path: str, **fields: Any) -> Answer:
        """Send a request and read the whole answer."""
        async with self.session.request(method, self.simulator.url + path, **fields) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(response.status, await response.text(), headers)

    async def get(self, path: str) -> Answer:
        """Get a page."""
        return await self.ask("GET", path)

    async def complete(self, **fields: Any) -> Answer:
        """Ask for a completion of one token, or of what the fields say."""
        return await self.ask("POST", "/v1/completions", json={**ONE, **fields})

    async def chat(self, **fields: Any) -> Answer:
        """Ask for one token in a conversation."""
        body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
        return await self.ask("POST", "/v1/chat/completions", json={**body, **fields})

    async def once_open(self) -> None:
        """Wait until the port takes connections."""
        await self._until_port(takes=True)

    async def once_shut(self) -> None:
        """Wait until the port refuses connections."""
        await self._until_port(takes=False)

    async def _until_port(self, *, takes: bool) -> None:
        host, _, port = self.simulator.url.removeprefix("http://").rpartition(":")
        async with asyncio.timeout(SOON):
            while True:
                try:
                    _, writer = await asyncio.open_connection(host, int(port))
                except ConnectionRefusedError:
                    if not takes:
                        return
                except ConnectionResetError:
                    pass  # it was in the backlog when the port was shut: ask again
                else:
                    writer.close()
                    await writer.wait_closed()
                    if takes:
                        return
                await asyncio.sleep(0.01)

    def fault(self, text: str) -> None:
        """Put a fault on, counted from now."""
        board = self.simulator.board
        board.add(parse_plan(text).window(asyncio.get_running_loop().time()))

    def clear(self) -> None:
        """Take all faults off."""
        self.simulator.board.clear()

    async def gauge(self, name: str) -> float:
        """Read a metric that has vLLM's two labels alone."""
        page = (await self.get("/metrics")).text
        start = f'vllm:{name}{{engine="0",model_name="tiny"}} '
        (value,) = (line[len(start) :] for line in page.splitlines() if line.startswith(start))
        return float(value)


@asynccontextmanager
async def simulating(
    engine: EngineName = EngineName.VLLM, pace: Pace = QUICK, **options: Any
) -> AsyncIterator[Client]:
    """Run a simulator, and give a client of it, for as long as the block lasts."""
    chosen = SimOptions(engine=engine, port=0, pace=pace, **options)
    timeout = aiohttp.ClientTimeout(total=20)
    async with (
        Simulator(chosen) as simulator,
        aiohttp.ClientSession(timeout=timeout) as session,
    ):
        yield Client(simulator, session)


async def until(claim: Callable[[], bool], *, seconds: float = SOON) -> None:
    """Poll until a claim is true; fail if it does not become so."""
    async with asyncio.timeout(seconds):
        while True:
            if claim():
                return
            await asyncio.sleep(0.005)
