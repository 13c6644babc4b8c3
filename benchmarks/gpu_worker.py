"""A worker whose engine is a CUDA device: layers of random weights, all requests in one batch.

Started by ``gpu_hang.py``, which orders by lines on the standard input: ``load N`` has N users ask
for tokens without end, ``rest`` ends them, ``hang S`` launches a kernel that spins for S seconds
before whatever comes next, ``ended`` asks when that was over, ``break`` has a kernel read out of
bounds. Each is answered with a line when it is done, and with the time. The engine steps in a
thread of its own, as engines do, or (``--on-loop``) on the event loop, as engines should not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import torch  # type: ignore[import-not-found, unused-ignore]

from serinus import Runtime
from serinus.runtime.endpoint import Endpoint

ADDRESS = "gpu.worker.generate"
WIDTH, LAYERS = 8192, 48
"""48 products of 8192 × 8192 a step: the weights, 6.4 GB, are read from the device's memory."""
_CYCLES = 200_000_000
_WARM_UP = 10
"""Spins after which the clock of the device is what it stays."""


class Engine:
    """Steps of one batch on the device; a request that waits gets a token from the next one."""

    def __init__(self) -> None:
        options = {"device": "cuda", "dtype": torch.bfloat16}
        self._weights = [torch.randn(WIDTH, WIDTH, **options) / WIDTH**0.5 for _ in range(LAYERS)]
        self._embedding = torch.randn(1024, WIDTH, **options)
        self.step([1])
        self.ended_at = 0.0
        """When a kernel that spun was over."""
        for _ in range(_WARM_UP):
            torch.cuda._sleep(_CYCLES)
        torch.cuda.synchronize()
        began = time.perf_counter()
        torch.cuda._sleep(_CYCLES)
        torch.cuda.synchronize()
        self._pace = _CYCLES / (time.perf_counter() - began)

    def step(self, tokens: list[int]) -> list[int]:
        """Return the next token of each request; returns when the device has made them."""
        state = self._embedding[torch.tensor(tokens, device="cuda")]
        for weights in self._weights:
            state = torch.tanh(state @ weights)
        found: list[int] = (state @ self._embedding.T).argmax(dim=-1).tolist()
        return found

    def hang(self, seconds: float) -> None:
        """Have the device spin before it does anything else."""
        torch.cuda._sleep(int(self._pace * seconds))
        event = torch.cuda.Event()
        event.record()
        threading.Thread(target=self._await_end, args=(event,), name="end", daemon=True).start()

    def _await_end(self, event: Any) -> None:
        event.synchronize()
        self.ended_at = time.monotonic()

    def corrupt(self) -> None:
        """Have a kernel read out of bounds, which its own assertion notices."""
        self._embedding[torch.tensor([10**6], device="cuda")]


class Batcher:
    """Runs the engine in a thread while anyone waits for a token."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[int, asyncio.Future[int]]] = []
        self._some = threading.Condition()
        threading.Thread(target=self._run, name="engine", daemon=True).start()

    async def next(self, token: int) -> int:
        """Return the token after this one."""
        future: asyncio.Future[int] = self._loop.create_future()
        with self._some:
            self._waiting.append((token, future))
            self._some.notify()
        return await future

    def _run(self) -> None:
        while True:
            with self._some:
                self._some.wait_for(lambda: self._waiting)
                batch, self._waiting = self._waiting, []
            try:
                made = self._engine.step([token for token, _ in batch])
            except RuntimeError as error:
                self._loop.call_soon_threadsafe(self._fail, batch, error)
            else:
                self._loop.call_soon_threadsafe(self._give, batch, made)

    @staticmethod
    def _give(batch: list[tuple[int, asyncio.Future[int]]], made: list[int]) -> None:
        for (_, future), token in zip(batch, made, strict=True):
            if not future.done():
                future.set_result(token)

    @staticmethod
    def _fail(batch: list[tuple[int, asyncio.Future[int]]], error: RuntimeError) -> None:
        for _, future in batch:
            if not future.done():
                future.set_exception(error)


class Worker:
    """Serves, and carries out orders."""

    def __init__(self, engine: Engine, *, on_loop: bool) -> None:
        self._engine = engine
        self._batcher = None if on_loop else Batcher(engine)
        self._users: list[asyncio.Task[None]] = []

    async def generate(self, request: dict[str, Any]) -> AsyncIterator[dict[str, list[int]]]:
        """As many tokens as asked for."""
        token = request["token_ids"][-1]
        for _ in range(request["max_tokens"]):
            if self._batcher is None:
                (token,) = self._engine.step([token])
                await asyncio.sleep(0)
            else:
                token = await self._batcher.next(token)
            yield {"token_ids": [token]}

    async def _use(self, endpoint: Endpoint, user: int) -> None:
        while True:
            request = {"token_ids": [user], "max_tokens": 200}
            try:
                async for _ in endpoint.stream(request):
                    pass
            except RuntimeError:
                await asyncio.sleep(0.1)  # and tries again, as users do

    async def obey(self, order: str, endpoint: Endpoint) -> float:
        """Carry out one order, and return when that was done."""
        match order.split():
            case ["load", count]:
                self._users = [
                    asyncio.create_task(self._use(endpoint, user), name=f"user {user}")
                    for user in range(int(count))
                ]
            case ["rest"]:
                for user in self._users:
                    user.cancel()
                await asyncio.gather(*self._users, return_exceptions=True)
                self._users = []
            case ["hang", seconds]:
                self._engine.hang(float(seconds))
            case ["ended"]:
                return self._engine.ended_at
            case ["break"]:
                self._engine.corrupt()
            case _:
                raise ValueError(
                    f"{order!r} is no order; accepted: load N, rest, hang S, ended, break"
                )
        return time.monotonic()


def _listen(tell: Callable[[str | None], object]) -> None:
    for line in sys.stdin:
        tell(line)
    tell(None)


async def main(*, on_loop: bool) -> None:
    """Serve until the orders end."""
    loop = asyncio.get_running_loop()
    orders: asyncio.Queue[str | None] = asyncio.Queue(maxsize=8)
    worker = Worker(Engine(), on_loop=on_loop)
    async with Runtime() as runtime:
        endpoint = runtime.endpoint(ADDRESS)
        payload = {"token_ids": [1], "max_tokens": 1}
        serving = asyncio.create_task(
            endpoint.serve_endpoint(worker.generate, health_check_payload=payload), name="serve"
        )
        tell = lambda line: loop.call_soon_threadsafe(orders.put_nowait, line)  # noqa: E731
        threading.Thread(target=_listen, args=(tell,), name="orders", daemon=True).start()
        print("ready", time.monotonic(), flush=True)
        while (order := await orders.get()) is not None:
            done = await worker.obey(order, endpoint)
            print(order.strip(), done, flush=True)
        await worker.obey("rest", endpoint)
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--on-loop", action="store_true", help="step on the event loop")
    asyncio.run(main(on_loop=parser.parse_args().on_loop))
