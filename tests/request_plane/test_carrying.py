"""How one request is carried, by whatever plane."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from serinus.errors import RequestError
from serinus.request_plane.gate import Gate
from serinus.request_plane.service import GoneError, carry

TICK = 1.0


class Call:
    """A handler that yields a number each second, and notes what it is told."""

    def __init__(self, items: int, *, stubborn: float = 0.0) -> None:
        self.stopped = False
        self.story: list[str] = []
        self.stream = self._stream(items, stubborn)

    def stop(self) -> None:
        """Be told that the answer is not wanted."""
        self.stopped = True
        self.story.append("told")

    async def _stream(self, items: int, stubborn: float) -> AsyncGenerator[int, None]:
        try:
            for number in range(items):
                await asyncio.sleep(TICK)
                yield number
        except asyncio.CancelledError:
            self.story.append("cancelled")
            if stubborn:
                await asyncio.sleep(stubborn)
            raise
        finally:
            self.story.append("ended")


class Taking:
    """Whoever wants the answer."""

    def __init__(self, *, slow: float = 0.0, most: int = 1000) -> None:
        self.items: list[Any] = []
        self._slow = slow
        self._most = most

    async def __call__(self, item: Any) -> None:
        """Take an item."""
        if len(self.items) == self._most:
            raise GoneError
        self.items.append(item)
        await asyncio.sleep(self._slow)


async def test_every_item_is_delivered() -> None:
    """And the place is free afterwards."""
    gate, call, taking = Gate(most=1, queue=0), Call(3), Taking()
    await carry(call, taking, gate.admit())
    assert taking.items == [0, 1, 2]
    assert call.story == ["ended"]
    await asyncio.sleep(0)
    assert gate.inside == 0


async def test_a_slow_reader_is_waited_for() -> None:
    """The handler is not asked for the next item before the last one was taken."""
    call, taking = Call(10), Taking(slow=5)
    work = asyncio.create_task(carry(call, taking, Gate(most=1, queue=0).admit()))
    await asyncio.sleep(4 * 6 - 0.5)
    assert len(taking.items) == 4
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def test_past_the_deadline_the_handler_is_told_and_cancelled() -> None:
    """In this order, so that it can tell why."""
    gate, call, taking = Gate(most=1, queue=0), Call(10), Taking()
    with pytest.raises(RequestError, match=r"not done after 2\.5 s") as late:
        await carry(call, taking, gate.admit(), seconds=2.5)
    assert late.value.fault == "timeout"
    assert call.story == ["told", "cancelled", "ended"]
    assert taking.items == [0, 1]


async def test_the_deadline_runs_while_it_waits_for_its_turn() -> None:
    """A request that is too late is not begun."""
    gate, call = Gate(most=1, queue=1), Call(1)
    gate.admit()
    with pytest.raises(RequestError, match="not done"):
        await carry(call, Taking(), gate.admit(), seconds=3)
    await asyncio.sleep(0)
    assert gate.waiting == 0
    assert call.story == ["told"]


async def test_an_answer_that_is_not_wanted_any_more_is_ended() -> None:
    """Whoever says so: the caller by its connection, or a task that is cancelled."""
    unwanted = asyncio.get_running_loop().create_future()
    call = Call(10)
    asyncio.get_running_loop().call_later(2.5, unwanted.set_result, None)
    with pytest.raises(GoneError):
        await carry(call, Taking(), Gate(most=1, queue=0).admit(), unwanted=unwanted)
    assert call.story == ["told", "cancelled", "ended"]

    call = Call(10)
    work = asyncio.create_task(carry(call, Taking(), Gate(most=1, queue=0).admit()))
    await asyncio.sleep(2.5)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert call.story == ["told", "cancelled", "ended"]


async def test_a_reader_that_is_gone_ends_the_handler() -> None:
    """It is told, too."""
    call = Call(10)
    with pytest.raises(GoneError):
        await carry(call, Taking(most=1), Gate(most=1, queue=0).admit())
    assert call.story == ["told", "ended"]


async def test_a_handler_that_goes_on_keeps_its_place(caplog: pytest.LogCaptureFixture) -> None:
    """The bound is on what runs, and it is reported."""
    gate, call = Gate(most=1, queue=0), Call(10, stubborn=30)
    with caplog.at_level(logging.WARNING), pytest.raises(RequestError):
        await carry(call, Taking(), gate.admit(), seconds=2.5)
    assert "goes on although its answer is not wanted" in caplog.text
    assert gate.inside == 1
    await asyncio.sleep(31)
    assert gate.inside == 0


async def test_what_the_handler_raises_comes_out() -> None:
    """It is for the plane to say it."""

    class Broken(Call):
        async def _stream(self, items: int, stubborn: float) -> AsyncGenerator[int, None]:
            yield 0
            raise ZeroDivisionError

    gate = Gate(most=1, queue=0)
    with pytest.raises(ZeroDivisionError):
        await carry(Broken(0), Taking(), gate.admit())
    await asyncio.sleep(0)
    assert gate.inside == 0
