"""An endpoint that serves more slowly than it did, from the handler to the board; virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from serinus.core.marker import is_health_check
from serinus.core.system_health import EndpointHealth
from tests.runtime.benches import PAYLOAD, Bench, read
from tests.runtime.engines import TOKEN


class Model:
    """Answers at a pace that can be changed, and falls with the requests in flight."""

    def __init__(self) -> None:
        self.slowness = 1.0
        self.in_flight = 0

    async def generate(self, request: Any) -> AsyncIterator[Any]:
        """Take 20 ms for a first token, 20 ms for each of the next, more with many in flight."""
        self.in_flight += 1
        try:
            for _ in range(1 if is_health_check(request) else 20):
                await asyncio.sleep(0.02 * self.slowness * self.in_flight)
                yield TOKEN
        finally:
            self.in_flight -= 1


def only(bench: Bench) -> EndpointHealth:
    """The one endpoint."""
    (health,) = bench.board.health()
    return health


async def test_idle_canaries_that_take_long_are_degraded_until_they_do_not() -> None:
    """Said with figures, at 200; what is usual is not changed by it."""
    async with Bench(canary_wait_time=1, health_check_request_timeout=3) as bench:
        model = Model()
        await bench.endpoint().register(model.generate, health_check_payload=PAYLOAD)
        await asyncio.sleep(100)
        assert only(bench).degraded == ()
        model.slowness = 8
        await asyncio.sleep(10)
        assert only(bench).degraded == ("slow_first_token",)
        assert only(bench).flaws == ("8.0 times as long as usual, which is 0.02 s",)
        assert bench.readiness().ready
        await asyncio.sleep(1000)
        assert only(bench).degraded == ("slow_first_token",)
        model.slowness = 1
        await asyncio.sleep(10)
        assert only(bench).degraded == ()


async def test_load_is_not_degradation() -> None:
    """Sixteen at once are slower each, and that is as usual; eight times slower is not."""
    async with Bench(health_check_request_timeout=3) as bench:
        model = Model()
        endpoint = bench.endpoint()
        await endpoint.register(model.generate, health_check_payload=PAYLOAD)
        await bench.until_ready()

        async def crowd(size: int, times: int) -> None:
            for _ in range(times):
                await asyncio.gather(*(read(endpoint.stream({})) for _ in range(size)))

        await crowd(1, 40)
        await crowd(16, 40)
        assert only(bench).degraded == ()
        model.slowness = 8
        await crowd(1, 10)
        assert only(bench).degraded == ("slow_tokens",)
        model.slowness = 1
        await crowd(16, 2)  # another level of load takes it back
        assert only(bench).degraded == ()


async def test_a_slow_endpoint_that_users_are_kept_from_is_tried_again() -> None:
    """Only their requests show its pace: quick canaries on the idle endpoint take it back."""
    async with Bench(
        canary_wait_time=1,
        health_check_request_timeout=3,
        objective_token_gap=0.1,
        degraded_policy="notready",
    ) as bench:
        model = Model()
        endpoint = bench.endpoint()
        await endpoint.register(model.generate, health_check_payload=PAYLOAD)
        await bench.until_ready()
        await asyncio.sleep(20)
        for _ in range(30):
            await read(endpoint.stream({}))
        model.slowness = 8
        for _ in range(6):
            await read(endpoint.stream({}))
        assert set(only(bench).degraded) == {"slow_tokens", "objective: token gap"}
        await asyncio.sleep(30)
        assert {"slow_tokens", "slow_first_token"} <= set(only(bench).degraded), "still slow"
        model.slowness = 1
        await asyncio.sleep(30)
        assert only(bench).degraded == ()
        assert bench.readiness().ready
        model.slowness = 8
        await read(endpoint.stream({}))
        assert only(bench).degraded == ("objective: token gap",), "one miss is one too many"
        for _ in range(4):
            await read(endpoint.stream({}))
        assert "slow_tokens" in only(bench).degraded, "what is usual is still known"


async def test_requests_that_are_far_apart_are_measured_all_the_same() -> None:
    """The canaries between them take back what is off, and no more."""
    async with Bench(canary_wait_time=1, objective_token_gap=0.1) as bench:
        model = Model()
        model.slowness = 8
        endpoint = bench.endpoint()
        await endpoint.register(model.generate, health_check_payload=PAYLOAD)
        await bench.until_ready()
        for _ in range(21):
            await asyncio.sleep(15)
            assert only(bench).degraded == ()
            await read(endpoint.stream({}))
            if only(bench).degraded:
                break
        assert only(bench).degraded == ("objective: token gap",)
        await asyncio.sleep(15)
        await read(endpoint.stream({}))
        assert only(bench).degraded == ("objective: token gap",), "at once"


async def test_the_pace_of_one_model_is_nothing_to_another() -> None:
    """A larger one is slower, and no slower than it was."""
    async with Bench(canary_wait_time=1000, health_check_request_timeout=3) as bench:
        model = Model()
        endpoint = bench.endpoint()
        await endpoint.register(model.generate, health_check_payload=PAYLOAD)
        await bench.until_ready()
        (watched,) = bench.board.endpoints.values()
        bench.board.identify(watched, "vllm, small")
        for _ in range(30):
            await read(endpoint.stream({}))
        model.slowness = 8
        for _ in range(6):
            await read(endpoint.stream({}))
        assert only(bench).degraded == ("slow_tokens",)
        bench.board.identify(watched, "vllm, large")
        assert only(bench).degraded == ()
        for _ in range(30):
            await read(endpoint.stream({}))
        assert only(bench).degraded == ()


async def test_a_consumer_that_rests_is_not_the_engines_slowness() -> None:
    """Its rests are left out."""
    async with Bench() as bench:
        endpoint = bench.endpoint()
        await endpoint.register(Model().generate, health_check_payload=PAYLOAD)
        await bench.until_ready()
        for _ in range(40):
            await read(endpoint.stream({}))
        for _ in range(10):
            async for _item in endpoint.stream({}):
                await asyncio.sleep(0.5)
        assert only(bench).degraded == ()


async def test_an_objective_holds_under_any_load() -> None:
    """It is asked of every request, and a policy may take the endpoint out."""
    async with Bench(
        objective_token_gap=0.1, objective_first_token=0.5, degraded_policy="notready"
    ) as bench:
        endpoint = bench.endpoint()
        await endpoint.register(Model().generate, health_check_payload=PAYLOAD)
        await bench.until_ready()
        for _ in range(5):
            await asyncio.gather(*(read(endpoint.stream({})) for _ in range(8)))
        assert only(bench).degraded == ("objective: token gap",)
        assert not bench.readiness().ready
        for _ in range(300):
            await read(endpoint.stream({}))
        assert bench.readiness().ready


async def test_without_goals_nothing_is_measured() -> None:
    """A factor of 0, and no objectives."""
    async with Bench(degraded_factor=0) as bench:
        await bench.endpoint().register(Model().generate, health_check_payload=PAYLOAD)
        (watched,) = bench.board.endpoints.values()
        assert watched.gauge is None
        assert bench.traffic().measured is None
