"""A process in its fleet: what it announces, and that trouble with that is never its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from serinus import Runtime, Settings
from serinus.core.instance import Instance
from serinus.core.status import HealthStatus
from serinus.discovery import Discovery
from serinus.discovery.cards import SURFACES, read_card
from serinus.discovery.memory import Memory, from_settings
from serinus.discovery.records import INSTANCES, MODELS, WITHDRAWN, decode
from serinus.errors import LifecycleError, SettingsError
from serinus.runtime import endpoint as endpoint_module
from tests.request_plane.services import until

ADDRESS = "demo.backend.generate"
ENGINE = {"http": "http://10.0.0.7:8000"}


def settings(**changed: Any) -> Settings:
    """Return the settings of a process in a fleet that lives in memory."""
    chosen: dict[str, Any] = {"discovery_backend": "memory", "request_plane": "off"}
    return Settings(**(chosen | {"discovery_lease": 5.0} | changed))


async def generate(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Answer with one token."""
    yield {"token_ids": [1]}


@asynccontextmanager
async def process(**changed: Any) -> AsyncIterator[Runtime]:
    """A process that watches an engine for somebody else."""
    clock = asyncio.get_running_loop().time
    async with Runtime(settings(**changed), handle_signals=False, clock=clock) as runtime:
        await runtime.endpoint(ADDRESS).register(generate)
        runtime.advertise(ADDRESS, ENGINE, lambda: {"engine": "vllm", "model": "tiny"})
        await asyncio.sleep(0.5)
        yield runtime


class Seen:
    """What others see of a store: the instances that are listed, and those that are withdrawn."""

    def __init__(self, discovery: Discovery) -> None:
        self._mirrors = [discovery.mirror(prefix) for prefix in (INSTANCES, WITHDRAWN)]

    async def __call__(self) -> list[list[Instance]]:
        """Look, once all has had time to arrive."""
        await asyncio.sleep(0.5)
        return [
            [decode(key, value) for key, value in mirror.entries.items()]
            for mirror in self._mirrors
        ]


@pytest.fixture
async def store() -> Memory:
    """Return the store of the running loop."""
    return from_settings(Settings())


@pytest.fixture
async def seen() -> AsyncIterator[Seen]:
    """Return what others see."""
    clock = asyncio.get_running_loop().time
    async with Discovery(from_settings(Settings()), lease=5.0, clock=clock) as discovery:
        yield Seen(discovery)


def fleet_of(runtime: Runtime) -> Mapping[str, Any]:
    """Return what the process tells of its fleet."""
    told: Mapping[str, Any] = runtime.board.fleet()
    return told


async def test_it_announces_what_others_need(seen: Seen) -> None:
    """The transport, the status, and what the reference has no word for."""
    async with process(instance_id=31, worker_type="decode"):
        (one,), withdrawn = await seen()
        assert not withdrawn
        assert (str(one.address), one.instance_id, one.transport) == (ADDRESS, 31, ENGINE)
        assert (one.status, one.reason) == (HealthStatus.READY, "declared")
        assert one.since.endswith("+00:00")
        told = {"engine": "vllm", "model": "tiny", "worker_type": "decode", "lease": 5.0}
        assert one.facts == told
    assert await seen() == [[], []]


async def test_one_that_is_not_ready_is_withdrawn_and_comes_back(seen: Seen) -> None:
    """Whatever makes the process not ready; who wants to know why looks among the withdrawn."""
    async with process() as runtime:
        (ready,), _ = await seen()
        with runtime.hold("new weights"):
            listed, (one,) = await seen()
            assert not listed
            assert (one.status, one.reason) == (HealthStatus.NOTREADY, "hold")
            assert one.since > ready.since
        (back,), withdrawn = await seen()
        assert not withdrawn
        assert (back.status, back.instance_id) == (HealthStatus.READY, ready.instance_id)
        assert back.since > one.since


async def test_it_may_stay_listed_with_its_status(seen: Seen) -> None:
    """For who reads the status, as the reference's routers do not."""
    async with process(withdraw_not_ready=False) as runtime:
        with runtime.hold("new weights"):
            (one,), withdrawn = await seen()
            assert (one.status, one.reason) == (HealthStatus.NOTREADY, "hold")
            assert not withdrawn


async def test_draining_withdraws_first(seen: Seen) -> None:
    """While the requests in flight go on."""
    async with process(drain_grace_period=10.0) as runtime:
        runtime.shutdown()
        listed, (one,) = await seen()
        assert not listed
        assert one.reason == "draining"
        assert runtime.draining


async def test_an_endpoint_that_nobody_serves_any_more_is_gone(seen: Seen) -> None:
    """From both lists."""
    async with process() as runtime:
        await runtime.endpoint(ADDRESS).withdraw()
        assert await seen() == [[], []]


async def test_one_that_nobody_can_call_is_not_announced(seen: Seen) -> None:
    """Such as one of the library without a request plane, or of an app of somebody else's."""
    clock = asyncio.get_running_loop().time
    async with Runtime(settings(), handle_signals=False, clock=clock) as runtime:
        await runtime.endpoint(ADDRESS).register(generate)
        assert await seen() == [[], []]


async def test_two_processes_with_one_id(seen: Seen, caplog: pytest.LogCaptureFixture) -> None:
    """The second says so, is well, and does not overwrite the first; later it may have the id."""
    async with AsyncExitStack() as first:
        await first.enter_async_context(process(instance_id=7))
        (before,), _ = await seen()
        with caplog.at_level(logging.ERROR):
            async with process(instance_id=7) as second:
                assert "every instance needs an id of its own" in caplog.text
                (after,), _ = await seen()
                assert after.owner == before.owner
                assert fleet_of(second)["discovery"]["conflicts"]
                assert b"serinus_discovery_conflicts 1" in second.metrics()
                assert second.report().endpoints[0].ready
                await first.aclose()
                await asyncio.sleep(5)
                (own,), _ = await seen()
                assert own.owner != before.owner
                assert not fleet_of(second)["discovery"]["conflicts"]


async def test_trouble_with_the_backend_is_not_the_workers(seen: Seen, store: Memory) -> None:
    """It is shown, and what was wanted meanwhile is done when the backend is back."""
    async with process() as runtime:
        store.fail()
        await asyncio.sleep(30)
        told = fleet_of(runtime)["discovery"]
        assert (told["connected"], told["trouble"]) == (
            False,
            "memory of this process: cannot be reached",
        )
        assert b"serinus_discovery_connected 0" in runtime.metrics()
        assert runtime.report().endpoints[0].ready
        with runtime.hold("new weights"):
            await asyncio.sleep(1)
            store.restore()
            await asyncio.sleep(10)
            listed, (one,) = await seen()
            assert not listed
            assert one.reason == "hold"
        assert fleet_of(runtime)["discovery"]["trouble"] == ""


async def test_a_dead_engine_that_is_alone_is_told_at_once() -> None:
    """Nobody else has to be thought of."""
    async with process() as runtime:
        runtime.engine_died("gone")
        await asyncio.sleep(0.5)
        assert not runtime.report().liveness.live
        assert fleet_of(runtime)["restarts"]["admitted"]


async def test_a_dead_engine_among_others_takes_its_turn() -> None:
    """Two of three die: one is told of, the other waits and says so."""
    async with AsyncExitStack() as stack:
        three = [
            await stack.enter_async_context(process(restart_budget="1", instance_id=number))
            for number in (1, 2, 3)
        ]
        for runtime in three[:2]:
            runtime.engine_died("gone")
        await asyncio.sleep(3)
        reports = [runtime.report().liveness for runtime in three]
        assert sorted(one.live for one in reports) == [False, True, True]
        waits = [one for one in reports if one.reason == "waiting"]
        assert len(waits) == 1
        assert "1 of 1 instances are not live already" in waits[0].why


async def test_without_a_budget_everyone_decides_alone() -> None:
    """As without discovery."""
    async with process(restart_budget="0") as first, process(restart_budget="0") as second:
        for runtime in (first, second):
            runtime.engine_died("gone")
            assert not runtime.report().liveness.live


async def test_a_client_needs_discovery() -> None:
    """And says what to set."""
    clock = asyncio.get_running_loop().time
    async with Runtime(Settings(), handle_signals=False, clock=clock) as runtime:
        with pytest.raises(LifecycleError, match="set DYN_DISCOVERY_BACKEND"):
            runtime.endpoint(ADDRESS).client()
        assert fleet_of(runtime) == {}


# --- with the request plane, which has sockets -----------------------------------------------


@pytest.mark.real_time
async def test_an_endpoint_of_the_library_is_called_and_accounted_for() -> None:
    """Its record says how; its requests are evidence, a canary from outside is in no account."""
    payload = {"token_ids": [1]}
    chosen = settings(request_plane="both")
    async with Runtime(chosen, handle_signals=False) as runtime:
        endpoint = runtime.endpoint(ADDRESS)
        await endpoint.register(generate, health_check_payload=payload)
        async with endpoint.client() as client, asyncio.timeout(20):
            (number,) = await client.wait_for_instances()
            (one,) = client.instances()
            tcp, port = one.transport["tcp"], fleet_of(runtime)["request_plane"]["tcp"]
            assert tcp == f"{port}/{number:x}/demo/backend/generate"
            assert str(one.facts["rpc"]).endswith("/v1/rpc/demo/backend/generate")
            assert one.facts["payload"] == {**payload, "_HEALTH_CHECK": True}
            assert [item async for item in await client.round_robin({})] == [{"token_ids": [1]}]
            outside = await client.round_robin(one.facts["payload"])
            assert [item async for item in outside] == [{"token_ids": [1]}]
        counted = b'dynamo_component_requests_total{dynamo_namespace="demo"'
        (line,) = [row for row in runtime.metrics().splitlines() if row.startswith(counted)]
        assert line.endswith(b" 1")


@pytest.mark.real_time
async def test_a_model_is_announced_while_its_endpoint_is_listed() -> None:
    """For the reference's frontend, which lists it and sends requests to it."""
    async with Runtime(settings(), handle_signals=False) as bare:
        with pytest.raises(LifecycleError, match="is not served"):
            bare.endpoint(ADDRESS).register_model("tiny")
    chosen = settings(request_plane="tcp", instance_id=31, worker_type="aggregated")
    async with Runtime(chosen, handle_signals=False) as runtime:
        endpoint = runtime.endpoint(ADDRESS)
        await endpoint.register(generate)
        with pytest.raises(SettingsError, match="accepted: a name, and 'chat' or 'completions'"):
            endpoint.register_model("tiny", surface="images")
        endpoint.register_model("org/tiny")
        async with Discovery(from_settings(Settings()), lease=5.0) as others:
            cards, instances = others.mirror(MODELS), others.mirror(INSTANCES)
            await until(lambda: len(cards.entries) == 1)
            ((key, value),) = cards.entries.items()
            card = read_card(key, value)
            assert (card.name, card.role.model) == ("demo/backend/generate/1f", "org/tiny")
            assert card.role.worker_type == "aggregated"
            (record,) = instances.entries.items()
            assert decode(*record).facts["model"] == "org/tiny"
            with runtime.hold("new weights"):
                await until(lambda: not cards.entries)
            await until(lambda: len(cards.entries) == 1)


def test_the_words_for_what_a_model_takes_are_those_of_cards() -> None:
    """They stand in two places, so that a worker without discovery imports nothing of it."""
    assert set(endpoint_module._SURFACES) == set(SURFACES)


@pytest.mark.real_time
async def test_a_port_that_is_taken_stops_the_start() -> None:
    """A worker that nobody can call does not start half."""
    async with Runtime(settings(tcp_rpc_port=0), handle_signals=False) as first:
        taken = int(fleet_of(first)["request_plane"]["tcp"].rpartition(":")[2])
        with pytest.raises(SettingsError, match=f"tcp_rpc_port {taken}"):
            async with Runtime(settings(tcp_rpc_port=taken), handle_signals=False):
                pass


@pytest.mark.real_time
async def test_a_port_alone_turns_its_plane_on() -> None:
    """Where discovery is off: for who knows where to call."""
    async with Runtime(Settings(http_rpc_port=0), handle_signals=False) as runtime:
        assert fleet_of(runtime)["request_plane"]["tcp"] is None
        assert fleet_of(runtime)["request_plane"]["http"].startswith("127.0.0.1:")
