"""What a plane serves, and how one request is carried: the seam to the runtime."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Protocol

from serinus.core.address import EndpointAddress
from serinus.errors import RequestError
from serinus.request_plane.faults import Fault
from serinus.request_plane.gate import Ticket

__all__ = ["Call", "GoneError", "Service", "carry"]

logger = logging.getLogger("serinus")

_GRACE = 1.0
"""Seconds that a handler whose answer is no longer wanted has to end before that is reported."""


class GoneError(Exception):
    """Whoever wanted the answer is gone, or does not want it any more."""


class Call(Protocol):
    """One request in the hands of its handler."""

    @property
    def stream(self) -> AsyncGenerator[Any, None]:
        """What it yields."""

    def stop(self) -> None:
        """Tell the handler's context that the answer is no longer wanted."""


class Service(Protocol):
    """Endpoints that can be called."""

    def call(self, address: EndpointAddress, request: Any, *, request_id: str | None) -> Call:
        """Begin a request. Raises RequestError if the endpoint is not served here."""


async def carry(
    call: Call,
    deliver: Callable[[Any], Awaitable[None]],
    ticket: Ticket,
    *,
    seconds: float | None = None,
    unwanted: asyncio.Future[None] | None = None,
) -> None:
    """Hand every item of a call to `deliver`, which may take its time: nothing is read ahead.

    It begins when it is the ticket's turn; the ticket is left when the handler has ended, which may
    be later than this. When it is not done in `seconds`, `unwanted` is done, or this is cancelled,
    the handler's context is told first and the handler cancelled then.
    Raises RequestError past the deadline, GoneError if it is unwanted, and what the handler raises.
    """
    work = asyncio.create_task(_run(call, deliver, ticket), name="a request of the plane")
    work.add_done_callback(lambda _: ticket.leave())
    ends = {work} if unwanted is None else {work, unwanted}
    try:
        await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        await _give_up(call, work)
        raise
    if not work.done():
        await _give_up(call, work)
        if unwanted is not None and unwanted.done():
            raise GoneError
        raise RequestError(f"not done after {seconds:g} s", fault=Fault.TIMEOUT)
    if work.cancelled():
        raise RequestError("the handler cancelled itself", fault=Fault.SERVER)
    work.result()


async def _run(call: Call, deliver: Callable[[Any], Awaitable[None]], ticket: Ticket) -> None:
    await ticket.turn()
    try:
        async for item in call.stream:
            await deliver(item)
    except GoneError:
        call.stop()
        raise
    finally:
        await call.stream.aclose()


async def _give_up(call: Call, work: asyncio.Task[None]) -> None:
    call.stop()
    work.cancel()
    done, _ = await asyncio.wait({work}, timeout=_GRACE)
    if not done:
        logger.warning("a handler goes on although its answer is not wanted any more")
    elif not work.cancelled():
        work.exception()  # it is not wanted either
