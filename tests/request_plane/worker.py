"""A worker of the tests that tells of every request, and is not ready on demand.

    python worker.py ID

SIGUSR1 has it withhold its readiness, SIGUSR2 give it back, SIGTERM drain. The rest of its settings
are in its environment. A request says how many `items` it wants, how far apart, and what to raise.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from serinus import Context, Runtime, Settings
from serinus.core.system_health import Hold
from serinus.settings import load


def tell(event: str, **more: Any) -> None:
    """Tell of an event, now: by one write, so that no line of a log gets into it."""
    os.write(1, json.dumps({"event": event, "at": time.time(), **more}).encode() + b"\n")


class Worker:
    """The handler, and the hold."""

    def __init__(self, runtime: Runtime, number: int) -> None:
        self._runtime = runtime
        self._number = number
        self._hold: Hold | None = None

    async def generate(self, request: dict[str, Any], context: Context) -> AsyncIterator[Any]:
        """Answer a request."""
        tell("asked", id=context.id())
        if "messages" in request:
            for told in ({"role": "assistant", "content": "token"}, {}):
                choice = {"index": 0, "delta": told, "finish_reason": None if told else "stop"}
                chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1}
                yield {**chunk, "model": request["model"], "choices": [choice]}
            return
        try:
            for item in range(request.get("items", 1)):
                await asyncio.sleep(request.get("gap", 0.0))
                yield {"by": self._number, "item": item}
            if request.get("raise") == "ValueError":
                raise ValueError("as it was told")
            if request.get("raise") == "RuntimeError":
                raise RuntimeError("as it was told")
        except (asyncio.CancelledError, GeneratorExit):  # while it works, while it is sent
            tell("cancelled", id=context.id(), told=context.is_stopped())
            raise

    def withhold(self) -> None:
        """Be not ready."""
        self._hold = self._runtime.board.hold("the test")
        tell("withheld")

    def give_back(self) -> None:
        """Be ready again."""
        if self._hold is not None:
            self._runtime.board.release(self._hold)
        tell("given back")


async def main(number: int) -> None:
    """Serve until told to end."""
    logging.basicConfig(level=logging.INFO)
    settings: Settings = load().settings
    async with Runtime(settings) as runtime:
        worker = Worker(runtime, number)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, worker.withhold)
        loop.add_signal_handler(signal.SIGUSR2, worker.give_back)
        endpoint = runtime.endpoint("demo.backend.generate")
        await endpoint.register(worker.generate, health_check_payload={"items": 1})
        if (model := os.environ.get("TEST_MODEL")) is not None:
            endpoint.register_model(model)
        tell("served")
        await runtime.wait_drained()
        tell("drained")
        await endpoint.withdraw()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
