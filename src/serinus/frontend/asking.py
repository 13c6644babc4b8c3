"""Asking an instance for its payload's answer through its request plane, as a client would.

It shows more than reaching does, and costs a token: the whole chain, from the network to the model.
An instance that announces no payload is reached only.
"""

from __future__ import annotations

import asyncio
import importlib.util
import secrets
import time
from collections.abc import Awaitable, Callable
from importlib import import_module

from serinus.core.instance import Instance
from serinus.core.marker import HEALTH_CHECK_KEY
from serinus.errors import RequestError, excerpt
from serinus.frontend.reach import Outcome, Reached, late
from serinus.request_plane.client import Caller
from serinus.request_plane.faults import Fault
from serinus.request_plane.tcp_caller import TcpCaller

__all__ = ["Asking"]

_ANSWERED = (Fault.CLIENT, Fault.OVERLOADED)
"""Faults of a request that an instance took and answered: it is there."""


class Asking:
    """Asks who announces a payload, and has the others reached. `timeout` is for a whole answer."""

    def __init__(
        self,
        reach: Callable[[Instance], Awaitable[Reached]],
        *,
        timeout: float,
        bind: str,
        host: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reach = reach
        self._timeout = timeout
        self._clock = clock
        self._make: dict[str, Callable[[], Caller]] = {}
        if importlib.util.find_spec("aiohttp") is not None:
            http = "serinus.request_plane.http_caller"
            self._make["rpc"] = lambda: import_module(http).HttpCaller()
        self._make["tcp"] = lambda: TcpCaller(bind=bind, host=host)
        self._callers: dict[str, Caller] = {}

    async def close(self) -> None:
        """Close every connection."""
        for caller in self._callers.values():
            await caller.close()

    async def __call__(self, instance: Instance) -> Reached:
        """Ask an instance once."""
        payload = instance.facts.get("payload")
        kind, place = self._place(instance)
        if not isinstance(payload, dict) or not kind:
            return await self._reach(instance)
        caller = self._callers.get(kind)
        if caller is None:
            caller = self._callers[kind] = self._make[kind]()
        began = self._clock()
        try:
            async with asyncio.timeout(self._timeout):
                items = await _count(caller, place, {**payload, HEALTH_CHECK_KEY: True})
        except TimeoutError:
            return late(self._timeout, self._clock() - began, "no whole answer")
        except RequestError as error:
            if Fault(error.fault) in _ANSWERED:
                return Reached(Outcome.REACHED)
            return Reached(Outcome.FAILED, excerpt(error))
        if not items:
            return Reached(Outcome.FAILED, "answers with nothing")
        return Reached(Outcome.REACHED)

    def _place(self, instance: Instance) -> tuple[str, str]:
        for kind in self._make:
            place = instance.transport.get(kind) or instance.facts.get(kind)
            if isinstance(place, str):
                return kind, place
        return "", ""


async def _count(caller: Caller, place: str, payload: dict[str, object]) -> int:
    """Read a whole answer, and return how many items it had."""
    answer = caller.call(place, payload, request_id=f"probe-{secrets.token_hex(8)}")
    items = 0
    try:
        async for _ in answer:
            items += 1
    finally:
        await answer.aclose()
    return items
