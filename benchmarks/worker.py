"""The worker under test: endpoints that do as they are told, served by one rival or the other.

Started by ``rivals.py``; the two files that end in ``_worker.py`` join this one to Serinus and to
Dynamo. Orders come as lines of JSON over a socket that was inherited, to a plain thread, so that
they are heard whatever the event loop does; each is answered with one line.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Protocol

from handlers import Behaviour, Request, Stage, plain

PAYLOAD = {
    "token_ids": [1],
    "stop_conditions": {"max_tokens": 1, "ignore_eos": True},
    "sampling_options": {"temperature": 0.0},
    "_HEALTH_CHECK": True,
}


class Rival(Protocol):
    """What the worker needs of a library that serves endpoints."""

    async def serve(self, address: str, handler: Behaviour, payload: Request) -> None:
        """Serve until the end."""

    def request(self, address: str, request: Request) -> AsyncIterator[Any]:
        """Send real traffic to the endpoint, as a client would, and give its items."""

    def shut_down(self) -> None:
        """Begin an orderly end."""


def addresses(names: int, components: int) -> list[str]:
    """Addresses in one namespace; with more than one component, their endpoints share names."""
    return [
        f"bench.backend_{component}.endpoint_{name:05d}"
        for component in range(components)
        for name in range(names)
    ]


class Ear:
    """Hears orders in a thread of its own, and carries them out."""

    def __init__(self, rival: Rival, stage: Stage, connection: socket.socket) -> None:
        self._rival = rival
        self._stage = stage
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._traffic: set[asyncio.Task[None]] = set()
        self._outcomes = {"finished": 0, "failed": 0}
        self._ended = asyncio.Event()

    def say(self, **what: Any) -> None:
        """Send one line."""
        self._connection.sendall(json.dumps(what).encode() + b"\n")

    def listen(self) -> None:
        """Carry out one order after the other; when the line is cut, nobody needs the worker."""
        for line in self._connection.makefile("r"):
            order = json.loads(line)
            self.say(**getattr(self, "on_" + order.pop("order"))(**order))
        os._exit(0)

    def on_show(
        self, behaviour: str, endpoint: str, phase: float | None = None
    ) -> dict[str, float]:
        """Switch a behaviour: now, or ``phase`` seconds after the next canary has been asked."""
        if phase is not None:
            seen = len(self._stage.canaries)
            deadline = time.monotonic() + 5
            while len(self._stage.canaries) == seen and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(max(0.0, self._stage.canaries[-1].asked_at + phase - time.monotonic()))
        self._stage.show(behaviour, endpoint)
        return {"at": time.monotonic()}

    def on_hold_the_gil(self, seconds: float) -> dict[str, float]:
        """Sit in a C call without releasing the interpreter's lock."""
        sleep = ctypes.PyDLL(None).usleep
        began = time.monotonic()
        sleep(int(seconds * 1e6))
        return {"from": began, "to": time.monotonic()}

    def on_traffic(
        self, endpoint: str, request: Request, streams: int = 0, rate: float = 0
    ) -> dict[str, float]:
        """Keep that many streams in flight, or start that many requests a second."""
        self._on_loop(self._begin, endpoint, request, streams, rate)
        return {"at": time.monotonic()}

    def on_stop_traffic(self) -> dict[str, int]:
        """End the traffic; say how it went."""
        self._on_loop(lambda: [task.cancel() for task in tuple(self._traffic)])
        return dict(self._outcomes)

    def on_ledger(self) -> dict[str, Any]:
        """Every canary so far, and the time now."""
        return {
            "now": time.monotonic(),
            "canaries": [asdict(canary) for canary in tuple(self._stage.canaries)],
            "outcomes": dict(self._outcomes),
        }

    def on_shut_down(self) -> dict[str, float]:
        """Begin an orderly end."""
        self._on_loop(self._rival.shut_down)
        return {"at": time.monotonic()}

    def _on_loop(self, call: Callable[..., Any], *arguments: Any) -> None:
        self._loop.call_soon_threadsafe(call, *arguments)

    def _begin(self, endpoint: str, request: Request, streams: int, rate: float) -> None:
        for _ in range(streams):
            self._start(self._again_and_again(endpoint, request))
        if rate:
            self._start(self._at_rate(endpoint, request, rate))

    def _start(self, coroutine: Any) -> None:
        task = self._loop.create_task(coroutine)
        self._traffic.add(task)
        task.add_done_callback(self._traffic.discard)

    async def _once(self, endpoint: str, request: Request) -> None:
        try:
            async for _ in self._rival.request(endpoint, dict(request)):
                pass
        except Exception:  # noqa: BLE001  # the rivals raise whatever they like; it is counted
            self._outcomes["failed"] += 1
        else:
            self._outcomes["finished"] += 1

    async def _again_and_again(self, endpoint: str, request: Request) -> None:
        while True:
            await self._once(endpoint, request)

    async def _at_rate(self, endpoint: str, request: Request, rate: float) -> None:
        while True:
            self._start(self._once(endpoint, request))
            await asyncio.sleep(1 / rate)


def arguments() -> argparse.Namespace:
    """The command line that ``rivals.py`` writes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--orders", type=int, required=True, help="inherited socket")
    parser.add_argument("--endpoints", type=int, default=1)
    parser.add_argument("--components", type=int, default=1)
    parser.add_argument("--slots", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="handlers without a ledger")
    return parser.parse_args()


async def work(rival: Rival) -> None:
    """Serve what the command line asks for, and hear orders, until the end."""
    asked = arguments()
    stage = Stage(slots=asked.slots)
    ear = Ear(rival, stage, socket.socket(fileno=asked.orders))
    threading.Thread(target=ear.listen, daemon=True).start()
    serving = [
        asyncio.ensure_future(
            rival.serve(address, plain if asked.plain else stage.handler(address), PAYLOAD)
        )
        for address in addresses(asked.endpoints, asked.components)
    ]
    ear.say(started=time.monotonic())
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*serving)
    await asyncio.sleep(0.5)  # for the last items to reach their clients
    ear.say(**ear.on_ledger()["outcomes"])
