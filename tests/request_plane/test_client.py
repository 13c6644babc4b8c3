"""`Client`: only ready instances, fail-over before the first item and never after it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from serinus.core.address import EndpointAddress
from serinus.core.instance import Instance
from serinus.core.status import HealthStatus
from serinus.discovery import Discovery
from serinus.discovery.findings import FINDINGS, Finding, encode_any
from serinus.discovery.memory import Memory
from serinus.discovery.records import encode, key_of
from serinus.errors import LifecycleError, RequestError, SettingsError
from serinus.request_plane.client import Client
from serinus.request_plane.ejection import EjectionRules
from serinus.request_plane.faults import Fault
from serinus.request_plane.routing import Policy

ADDRESS = EndpointAddress("demo", "backend", "generate")
LEASE = 3.0


class Worker:
    """An instance: it answers so many items, each after a while, or fails."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.items = 2
        self.gap = 0.1
        self.fault: Fault | None = None
        self.fails_after = 0
        self.hangs = False
        self.asked = 0
        self.closed = 0
        self.heard: list[tuple[str, float | None]] = []

    async def answer(self) -> AsyncGenerator[Any, None]:
        """Answer one request."""
        self.asked += 1
        try:
            for item in range(self.items):
                if self.fault is not None and item == self.fails_after:
                    raise RequestError(f"worker {self.number} failed", fault=self.fault)
                await asyncio.sleep(3600 if self.hangs else self.gap)
                yield self.number, item
        finally:
            self.closed += 1


class Fleet:
    """Workers in a store, and clients of them."""

    def __init__(self, opened: AsyncExitStack) -> None:
        self.store = Memory()
        self.workers = {number: Worker(number) for number in (1, 2, 3)}
        self._opened = opened

    async def open(self) -> None:
        """Announce all workers."""
        clock = asyncio.get_running_loop().time
        self.worker = await self._enter(Discovery(self.store, lease=LEASE, clock=clock, seed=1))
        self.other = await self._enter(Discovery(self.store, lease=LEASE, clock=clock, seed=2))
        for number in self.workers:
            self.say(number)

    async def _enter(self, discovery: Discovery) -> Discovery:
        return await self._opened.enter_async_context(discovery)

    def say(self, number: int, status: HealthStatus | None = HealthStatus.READY) -> None:
        """Announce a worker with a status."""
        instance = Instance(ADDRESS, number, {"fake": str(number)}, status)
        self.worker.announce(key_of(instance), encode(instance))

    def withdraw(self, number: int) -> None:
        """Have a worker gone."""
        self.worker.withdraw(key_of(Instance(ADDRESS, number, {})))

    async def client(self, **options: Any) -> Client:
        """Return a client that knows all three."""
        clock = asyncio.get_running_loop().time
        client = Client(ADDRESS, self.other, {"fake": lambda: self}, clock=clock, seed=1, **options)
        await self._opened.enter_async_context(client)
        await client.wait_for_instances(len(self.workers))
        return client

    async def call(
        self, place: str, request: Any, *, request_id: str, seconds: float | None = None
    ) -> AsyncGenerator[Any, None]:
        """Be the caller of all of them."""
        worker = self.workers[int(place)]
        worker.heard.append((request_id, seconds))
        answer = worker.answer()
        try:
            async for item in answer:
                yield item
        finally:
            await answer.aclose()

    async def close(self) -> None:
        """Have nothing to close."""

    @property
    def asked(self) -> list[int]:
        """How often each was asked."""
        return [worker.asked for worker in self.workers.values()]


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    """Return three workers that are ready."""
    async with AsyncExitStack() as opened:
        fleet = Fleet(opened)
        await fleet.open()
        yield fleet


async def read(answer: Any) -> list[Any]:
    """Read a whole answer."""
    return [item async for item in answer]


# --- who is asked ----------------------------------------------------------------------------


async def test_round_robin_asks_each_in_turn(fleet: Fleet) -> None:
    """And the answer says who gave it."""
    client = await fleet.client()
    for _ in range(6):
        answer = await client.round_robin({})
        number = answer.instance.instance_id
        assert await read(answer) == [(number, 0), (number, 1)]
    assert fleet.asked == [2, 2, 2]


async def test_random_asks_all_of_them(fleet: Fleet) -> None:
    """Sooner or later."""
    client = await fleet.client()
    for _ in range(60):
        await read(await client.random({}))
    assert min(fleet.asked) > 5


async def test_the_least_loaded_is_asked(fleet: Fleet) -> None:
    """One that takes long gets fewer."""
    fleet.workers[1].gap = 10
    client = await fleet.client()

    async def ask() -> None:
        await read(await client.generate({}))

    busy = [asyncio.create_task(ask()) for _ in range(3)]
    await asyncio.sleep(1)
    for _ in range(10):
        await read(await client.least_loaded({}))
    assert fleet.asked[0] == 1
    assert client.in_flight[1] == 1
    await asyncio.gather(*busy)
    assert not any(client.in_flight.values())


async def test_direct_asks_one_and_no_other(fleet: Fleet) -> None:
    """It does not fail over either."""
    client = await fleet.client()
    await read(await client.direct({}, 2))
    fleet.workers[2].fault = Fault.SERVER
    with pytest.raises(RequestError, match="worker 2 failed"):
        await client.direct({}, 2)
    with pytest.raises(RequestError, match="instance 7 is not listed as ready"):
        await client.direct({}, 7)
    assert fleet.asked == [0, 2, 0]


async def test_one_that_is_not_ready_is_not_asked(fleet: Fleet) -> None:
    """Whether it is withdrawn or listed with its status; one that says nothing is believed."""
    client = await fleet.client()
    fleet.say(1, HealthStatus.NOTREADY)
    fleet.withdraw(2)
    fleet.say(3, None)
    await asyncio.sleep(0.25)
    assert client.instance_ids() == [3]
    for _ in range(4):
        await read(await client.round_robin({}))
    assert fleet.asked == [0, 0, 4]
    fleet.say(1)
    await asyncio.sleep(0.25)
    assert client.instance_ids() == [1, 3]


async def test_a_record_that_cannot_be_read_is_skipped(fleet: Fleet) -> None:
    """It is named, and so is why."""
    client = await fleet.client()
    key = f"v1/instances/{'/'.join(ADDRESS)}/ff"
    fleet.worker.announce(key, b'{"type": "Model"}')
    await asyncio.sleep(0.25)
    assert client.instance_ids() == [1, 2, 3]
    assert "is of the type Model" in client.foreign[key]
    fleet.worker.withdraw(key)
    await asyncio.sleep(0.25)
    assert not client.foreign


async def test_a_transport_that_nobody_can_call_is_not_asked(fleet: Fleet) -> None:
    """Such as an engine behind a sidecar, which is no endpoint of a plane."""
    client = await fleet.client()
    engine = Instance(ADDRESS, 9, {"http": "http://10.0.0.7:8000"}, HealthStatus.READY)
    fleet.worker.announce(key_of(engine), encode(engine))
    await asyncio.sleep(0.25)
    assert len(client.instances()) == 4
    assert client.instance_ids() == [1, 2, 3]


async def test_without_an_instance_it_waits_and_says_so(fleet: Fleet) -> None:
    """One that comes within the patience is asked."""
    for number in fleet.workers:
        fleet.say(number, HealthStatus.NOTREADY)
    fleet.workers = {}
    client = await fleet.client(patience=2)
    fleet.workers = {2: Worker(2)}
    await asyncio.sleep(0.25)
    with pytest.raises(RequestError, match=r"no instance is ready \(3 listed\)") as nobody:
        await client.generate({})
    assert nobody.value.fault == "unavailable"
    asyncio.get_running_loop().call_later(1, fleet.say, 2)
    assert await read(await client.generate({})) == [(2, 0), (2, 1)]


# --- fail-over -------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [one for one in Fault if one is not Fault.CLIENT])
async def test_before_the_first_item_another_is_asked(fleet: Fleet, fault: Fault) -> None:
    """No request is lost while one of them can serve it."""
    client = await fleet.client()
    fleet.workers[1].fault = fleet.workers[2].fault = fault
    for _ in range(4):
        assert await read(await client.round_robin({})) == [(3, 0), (3, 1)]
    assert client.failed_over >= 4


async def test_a_request_that_is_wrong_is_wrong_everywhere(fleet: Fleet) -> None:
    """Nobody else is asked, and nobody is ejected for it."""
    client = await fleet.client()
    for worker in fleet.workers.values():
        worker.fault = Fault.CLIENT
    for _ in range(9):
        with pytest.raises(RequestError) as wrong:
            await client.round_robin({})
        assert not wrong.value.started
    assert fleet.asked == [3, 3, 3]
    assert client.ejected() == ()


async def test_after_the_first_item_the_error_comes_through(fleet: Fleet) -> None:
    """Half of an answer is not begun again elsewhere."""
    client = await fleet.client()
    for worker in fleet.workers.values():
        worker.fault, worker.fails_after = Fault.SERVER, 1
    answer = await client.round_robin({})
    await anext(answer)
    with pytest.raises(RequestError) as broken:
        await anext(answer)
    assert broken.value.started
    assert sum(fleet.asked) == 1
    with pytest.raises(StopAsyncIteration):
        await anext(answer)


async def test_when_all_fail_the_last_error_is_told(fleet: Fleet) -> None:
    """After each was asked once, or so many as it may try."""
    client = await fleet.client(tries=2)
    for worker in fleet.workers.values():
        worker.fault = Fault.TRANSPORT
    with pytest.raises(RequestError, match="failed"):
        await client.round_robin({})
    assert sorted(fleet.asked) == [0, 1, 1]


async def test_past_its_deadline_a_request_ends_wherever_it_is(fleet: Fleet) -> None:
    """The instances hear how long there is left; nobody else is asked when there is nothing."""
    client = await fleet.client()
    loop = asyncio.get_running_loop()
    for worker in fleet.workers.values():
        worker.hangs = True
    began = loop.time()
    with pytest.raises(RequestError, match="not done by the deadline") as late:
        await client.round_robin({}, deadline=5, request_id="mine")
    assert late.value.fault == "timeout"
    assert loop.time() - began == pytest.approx(5, abs=0.1)
    assert sum(fleet.asked) == 1
    ((name, seconds),) = [one for worker in fleet.workers.values() for one in worker.heard]
    assert name == "mine"
    assert seconds == pytest.approx(5, abs=0.1)


async def test_while_the_only_one_restarts_it_is_waited_for(fleet: Fleet) -> None:
    """Refused by the one that goes, the request is for the one that comes, also by the same id."""
    client = await fleet.client(patience=5)
    for number in (2, 3):
        fleet.say(number, HealthStatus.NOTREADY)
    await asyncio.sleep(0.25)
    fleet.workers[1].fault = Fault.UNAVAILABLE
    asking = asyncio.create_task(client.generate({}))
    await asyncio.sleep(1)
    fleet.withdraw(1)
    await asyncio.sleep(1)
    fleet.workers[1].fault = None
    reborn = Instance(ADDRESS, 1, {"fake": "1"}, HealthStatus.READY, owner="another start")
    fleet.worker.announce(key_of(reborn), encode(reborn))
    assert await read(await asking) == [(1, 0), (1, 1)]


# --- ejection --------------------------------------------------------------------------------


async def test_one_that_fails_is_left_out_for_a_while(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    """Its requests are served by others meanwhile, without the detour."""
    client = await fleet.client(rules=EjectionRules(first=5))
    fleet.workers[1].fault = Fault.SERVER
    with caplog.at_level(logging.WARNING):
        while not client.ejected():
            await read(await client.round_robin({}))
    assert client.ejected() == (1,)
    assert "demo.backend.generate: 1 is left out for 5.0 s (server)" in caplog.text
    asked = fleet.workers[1].asked
    for _ in range(6):
        await read(await client.round_robin({}))
    assert fleet.workers[1].asked == asked == 3
    fleet.workers[1].fault = None
    await asyncio.sleep(5)
    for _ in range(3):
        await read(await client.round_robin({}))
    assert fleet.workers[1].asked == asked + 1


async def test_when_most_fail_it_says_so_and_leaves_none_out(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    """Panic: it is not the instances, or nothing can be done about it."""
    client = await fleet.client()
    fleet.workers[1].fault = fleet.workers[2].fault = Fault.SERVER
    with caplog.at_level(logging.WARNING):
        while not client.panic:
            await read(await client.round_robin({}))
    assert "panic: too many instances fail: none is left out" in caplog.text
    assert client.ejected() == ()
    fleet.workers[1].fault = fleet.workers[2].fault = None
    for _ in range(6):
        await read(await client.round_robin({}))
    assert "panic: over" in caplog.text


async def test_what_the_prober_cannot_reach_is_not_asked(fleet: Fleet) -> None:
    """Ready in its own eyes, and unreachable for others: nobody has to find that out again."""
    client = await fleet.client()
    key = f"{FINDINGS}{'/'.join(ADDRESS)}/2/frontend"
    fleet.worker.announce(key, encode_any(Finding(reachable=False, reason="refused")))
    await asyncio.sleep(1)
    for _ in range(4):
        await read(await client.round_robin({}))
    assert fleet.asked == [2, 0, 2]
    fleet.worker.announce(key, encode_any(Finding(reachable=True)))
    await asyncio.sleep(1)
    for _ in range(3):
        await read(await client.round_robin({}))
    assert fleet.asked[1] == 1


async def test_a_prober_that_reaches_hardly_anybody_is_not_believed(fleet: Fleet) -> None:
    """More likely it is cut off; nor one that only reports, nor a word that cannot be read."""
    client = await fleet.client()
    root = f"{FINDINGS}{'/'.join(ADDRESS)}"
    for number in (1, 2):
        cut_off = encode_any(Finding(reachable=False))
        fleet.worker.announce(f"{root}/{number}/cut_off", cut_off)
    await asyncio.sleep(1)
    for _ in range(3):
        await read(await client.round_robin({}))
    assert fleet.asked == [1, 1, 1]
    fleet.worker.withdraw(f"{root}/1/cut_off")
    fleet.worker.announce(f"{root}/2/cut_off", encode_any(Finding(reachable=False, eject=False)))
    fleet.worker.announce(f"{root}/3/cut_off", b"nonsense")
    await asyncio.sleep(1)
    for _ in range(3):
        await read(await client.round_robin({}))
    assert fleet.asked == [2, 2, 2]


async def test_an_instance_that_comes_back_is_a_new_one(fleet: Fleet) -> None:
    """It is not left out for what another process did."""
    client = await fleet.client(rules=EjectionRules(first=50))
    fleet.workers[1].fault = Fault.TRANSPORT
    while not client.ejected():
        await read(await client.round_robin({}))
    fleet.withdraw(1)
    await asyncio.sleep(0.25)
    fleet.say(1)
    await asyncio.sleep(0.25)
    assert client.ejected() == ()


# --- its life --------------------------------------------------------------------------------


async def test_an_answer_that_is_not_read_to_its_end_is_closed(fleet: Fleet) -> None:
    """The instance is told, and it is not held against it; twice is once."""
    client = await fleet.client()
    answer = await client.direct({}, 1)
    await answer.aclose()
    await answer.aclose()
    assert fleet.workers[1].closed == 1
    assert client.in_flight[1] == 0
    assert await read(answer) == [(1, 0)]  # what had come


async def test_leaving_it_ends_what_is_under_way(fleet: Fleet) -> None:
    """No answer outlives its client."""
    client = Client(
        ADDRESS, fleet.other, {"fake": lambda: fleet}, clock=asyncio.get_running_loop().time
    )
    with pytest.raises(LifecycleError, match="inside 'async with'"):
        await client.generate({})
    async with client:
        await client.wait_for_instances(3)
        await client.round_robin({})
    assert sum(worker.closed for worker in fleet.workers.values()) == 1
    with pytest.raises(LifecycleError, match="entered once"):
        await client.__aenter__()


async def test_trouble_of_discovery_does_not_stop_it(fleet: Fleet) -> None:
    """What was known is used while the backend is away."""
    client = await fleet.client()
    fleet.store.fail()
    await asyncio.sleep(60)
    assert await read(await client.direct({}, 2)) == [(2, 0), (2, 1)]


async def test_bad_options_are_named(fleet: Fleet) -> None:
    """With what is accepted."""
    client = await fleet.client()
    with pytest.raises(SettingsError, match="policy 'best'; accepted: round_robin, random"):
        await client.generate({}, policy="best")
    with pytest.raises(SettingsError, match="deadline 0; accepted: seconds greater than 0"):
        await client.generate({}, deadline=0)
    with pytest.raises(SettingsError, match="tries 0"):
        Client(ADDRESS, fleet.other, {}, tries=0)


async def test_policies_can_be_named(fleet: Fleet) -> None:
    """As text, as a setting has it."""
    client = await fleet.client()
    asked: Counter[int] = Counter()
    for policy in Policy:
        answer = await client.generate({}, policy=str(policy))
        asked[answer.instance.instance_id] += 1
        await read(answer)
    assert asked.total() == len(Policy)


async def test_a_deadline_that_was_too_short_for_an_answer_ejects_nobody(fleet: Fleet) -> None:
    """Whoever brought items all the while has done nothing wrong."""
    client = await fleet.client()
    for worker in fleet.workers.values():
        worker.items, worker.gap = 100, 1.0
    for _ in range(12):
        answer = await client.round_robin({}, deadline=2.5)
        with pytest.raises(RequestError, match="not done by the deadline"):
            [item async for item in answer]
    assert client.ejected() == ()
    assert not client.panic


async def test_leaving_a_client_ends_what_another_task_reads(fleet: Fleet) -> None:
    """And raises nothing."""
    client = await fleet.client()
    fleet.workers[1].hangs = True
    reading = asyncio.create_task(client.direct({}, 1))
    await asyncio.sleep(0.1)
    await client.__aexit__(None, None, None)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert fleet.workers[1].closed == 1
