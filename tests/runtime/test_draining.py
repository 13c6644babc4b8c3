"""Draining: what is in flight may end, within its time."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import weakref

import pytest

from serinus.runtime.draining import Draining, SignalWatch


class Work:
    """Requests in flight, and the draining that waits for them."""

    def __init__(self, *, grace: float = 0.0, timeout: float = 30.0) -> None:
        self.loop = asyncio.get_running_loop()
        self.began: list[float] = []
        self.left = 0
        self.draining = Draining(
            began=lambda: self.began.append(self.loop.time()),
            in_flight=lambda: self.left,
            grace=grace,
            timeout=timeout,
        )

    async def seconds(self) -> float:
        """Drain, and say how long it took."""
        began = self.loop.time()
        await self.draining.finish()
        return self.loop.time() - began


async def test_with_nothing_in_flight_it_is_done_at_once() -> None:
    """Not ready first, then the end."""
    work = Work()
    assert await work.seconds() < 0.05
    assert len(work.began) == 1


async def test_it_ends_when_the_last_request_ends() -> None:
    """And not before."""
    work = Work()
    work.left = 2
    work.loop.call_later(3, setattr, work, "left", 1)
    work.loop.call_later(7, setattr, work, "left", 0)
    assert await work.seconds() == pytest.approx(7, abs=0.05)


async def test_it_waits_no_longer_than_its_time(caplog: pytest.LogCaptureFixture) -> None:
    """And says how many were left."""
    work = Work(timeout=30)
    work.left = 3
    assert await work.seconds() == pytest.approx(30, abs=0.05)
    assert "drained with 3 request(s) still in flight" in caplog.messages


@pytest.mark.parametrize(("grace", "timeout"), [(5, 30), (5, 0)])
async def test_it_is_shown_for_the_grace_at_least(grace: float, timeout: float) -> None:
    """So that load balancers see it, however short the time for requests is."""
    work = Work(grace=grace, timeout=timeout)
    assert await work.seconds() == pytest.approx(5, abs=0.05)


async def test_to_begin_twice_means_to_wait_no_longer() -> None:
    """The second signal of an impatient person."""
    work = Work(grace=10)
    work.left = 1
    work.draining.begin()
    work.loop.call_later(2, work.draining.begin)
    assert await work.seconds() == pytest.approx(2, abs=0.05)
    assert len(work.began) == 1


async def test_to_finish_twice_is_to_finish_once() -> None:
    """And everyone who waits is told."""
    work = Work()
    work.left = 1
    work.loop.call_later(1, setattr, work, "left", 0)
    waiting = work.draining.wait()
    await asyncio.gather(work.seconds(), work.seconds())
    await waiting
    assert len(work.began) == 1
    assert await work.seconds() == 0


async def test_who_waits_no_longer_is_forgotten() -> None:
    """Endpoints come and go for as long as a worker lives; what waited for its end goes too."""
    work = Work()
    stays = work.draining.wait()
    gone = [weakref.ref(given_up(work.draining)) for _ in range(1000)]
    assert sum(one() is not None for one in gone) < 100
    await work.seconds()
    await stays


def given_up(draining: Draining) -> asyncio.Future[None]:
    """Wait, and give it up."""
    waiter = draining.wait()
    waiter.cancel()
    return waiter


@pytest.mark.real_time
async def test_signals_become_a_call_and_are_given_back() -> None:
    """SIGTERM and SIGINT, and the earlier handlers after."""
    heard = asyncio.Event()
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    watch = SignalWatch(heard.set)
    watch.open()
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)
        async with asyncio.timeout(5):
            await heard.wait()
        heard.clear()
    watch.close()
    watch.close()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.mark.real_time
def test_outside_the_main_thread_signals_are_left_alone() -> None:
    """Only the main thread can take them; a runtime in another one works all the same."""
    before = signal.getsignal(signal.SIGTERM)
    during = []

    async def run() -> None:
        watch = SignalWatch(lambda: None)
        watch.open()
        during.append(signal.getsignal(signal.SIGTERM))
        watch.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    thread.join(10)
    assert during == [before]
