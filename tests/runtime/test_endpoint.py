"""Endpoints: what can be served, what is refused and how, and whose evidence is whose."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from serinus.core.status import Reason
from serinus.errors import LifecycleError, SettingsError
from serinus.payloads import HealthCheckPayload
from serinus.runtime.context import Context
from tests.runtime.benches import ADDRESS, PAYLOAD, Bench, first_of, read
from tests.runtime.engines import TOKEN, Engine


async def one(request: Any) -> AsyncIterator[Any]:
    """Take a request."""
    yield {"token_ids": [1], "request": request}


async def two(request: Any, context: Context) -> AsyncIterator[Any]:
    """Take a request and its context."""
    yield {"token_ids": [1], "request": request, "id": context.id()}


async def configured(engine: str, request: Any, context: Context) -> AsyncIterator[Any]:
    """Take an engine besides."""
    yield {"token_ids": [1], "engine": engine}


class Handlers:
    """Handlers of other kinds than functions."""

    async def __call__(self, request: Any) -> AsyncIterator[Any]:
        """Be called."""
        yield TOKEN

    async def bound(self, request: Any, context: Context) -> AsyncIterator[Any]:
        """Be bound."""
        yield TOKEN

    @staticmethod
    async def static(request: Any) -> AsyncIterator[Any]:
        """Be bound to nothing."""
        yield TOKEN


HANDLERS: dict[str, Any] = {
    "a function of a request": one,
    "a function of a request and a context": two,
    "a bound method": Handlers().bound,
    "a static method": Handlers.static,
    "a callable object": Handlers(),
    "a partial": functools.partial(configured, "engine"),
    "a partial with a keyword": functools.partial(two, context=Context()),
    "a partial of a bound method": functools.partial(Handlers().bound),
}


async def no_stream(request: Any) -> Any:
    """Answer at once."""
    return TOKEN


def plain(request: Any) -> Any:
    """Be no coroutine."""
    return [TOKEN]


async def nothing() -> AsyncIterator[Any]:
    """Take nothing."""
    yield TOKEN


async def three(request: Any, context: Context, extra: Any) -> AsyncIterator[Any]:
    """Take too much."""
    yield TOKEN


async def by_name(request: Any, *, context: Context) -> AsyncIterator[Any]:
    """Take the context by its name."""
    yield TOKEN


NOT_A_GENERATOR = (
    ": is not an async generator function; accepted: 'async def handler(request)' or "
    "'async def handler(request, context)' with a yield in it"
)


@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS.keys())
async def test_handlers_of_every_kind_are_served(handler: Any) -> None:
    """Asked by canaries and by users."""
    async with Bench() as bench:
        endpoint = bench.endpoint()
        await endpoint.register(handler, health_check_payload=PAYLOAD)
        await bench.until_ready(within=0.1)
        (item,) = await read(endpoint.stream({"prompt": "x"}))
        assert item["token_ids"]


@pytest.mark.parametrize(
    ("handler", "shown"),
    [
        (no_stream, "no_stream"),
        (plain, "plain"),
        (Handlers, "Handlers"),
        (functools.partial(plain), ""),
        (5, "5"),
        (None, "None"),
        ("generate", "generate"),
    ],
)
async def test_what_is_no_async_generator_is_refused(handler: Any, shown: str) -> None:
    """With its name, and what is accepted."""
    async with Bench() as bench:
        with pytest.raises(SettingsError) as caught:
            await bench.endpoint().register(handler)
        message = str(caught.value)
        assert message.startswith(f"handler {shown}")
        assert message.endswith(NOT_A_GENERATOR)
        assert bench.board.endpoints == {}


@pytest.mark.parametrize(
    ("handler", "takes"),
    [
        (nothing, r"nothing: takes () -> "),
        (three, r"three: takes (request: "),
        (by_name, r"by_name: takes (request: "),
    ],
)
async def test_a_handler_of_another_arity_is_refused(handler: Any, takes: str) -> None:
    """With its signature."""
    async with Bench() as bench:
        with pytest.raises(SettingsError) as caught:
            await bench.endpoint().register(handler)
        message = str(caught.value)
        assert message.startswith(f"handler {takes}")
        assert message.endswith("; accepted: (request) or (request, context)")


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (5, "5: is a int"),
        ("{}", "{}: is a str"),
        ([1], "[1]: is a list"),
        ((("token_ids", 1),), "(('token_ids', 1),): is a tuple"),
    ],
)
async def test_a_payload_of_another_kind_is_refused(payload: Any, shown: str) -> None:
    """With its type, and what is accepted."""
    async with Bench() as bench:
        with pytest.raises(SettingsError) as caught:
            await bench.endpoint().register(one, health_check_payload=payload)
        assert str(caught.value) == (
            f"health_check_payload {shown}; accepted: a mapping or a HealthCheckPayload"
        )


@pytest.mark.parametrize("labels", [5, [("a",)], ["abc"], [("a", "b", "c")], [1]])
async def test_labels_of_another_kind_are_refused(labels: Any) -> None:
    """With what was given."""
    async with Bench() as bench:
        with pytest.raises(SettingsError) as caught:
            await bench.endpoint().register(one, metrics_labels=labels)
        assert str(caught.value) == (
            f"metrics_labels {labels}: accepted: a list of (name, value) pairs"
        )


async def test_labels_are_kept_as_text() -> None:
    """Numbers too."""
    async with Bench() as bench:
        await bench.endpoint().register(one, metrics_labels=[("model", "m"), ("rank", 3)])  # type: ignore[list-item]
        (served,) = bench.served.values()
        assert served.labels == (("model", "m"), ("rank", "3"))


async def test_an_address_that_is_taken_is_refused() -> None:
    """Until it is withdrawn."""
    async with Bench() as bench:
        endpoint = bench.endpoint()
        await endpoint.register(one)
        taken = f"endpoint {ADDRESS} is served already; withdraw it before it is served again"
        with pytest.raises(LifecycleError, match=f"^{re.escape(taken)}$"):
            await bench.endpoint().register(two)
        await endpoint.withdraw()
        await endpoint.withdraw()
        await bench.endpoint().register(two)


async def test_a_draining_runtime_serves_nothing_new() -> None:
    """It is going."""
    async with Bench() as bench:
        bench.board.drain()
        with pytest.raises(LifecycleError, match=rf"^endpoint {ADDRESS}: the runtime is draining$"):
            await bench.endpoint().register(one)


async def test_what_is_not_served_cannot_be_used() -> None:
    """Neither for requests nor for checks."""
    async with Bench() as bench:
        endpoint = bench.endpoint()
        with pytest.raises(LifecycleError, match=rf"^endpoint {ADDRESS} is not served$"):
            endpoint.stream({})

        async def check() -> None:
            """Pass."""

        with pytest.raises(
            LifecycleError, match=rf"^endpoint {ADDRESS} is not served: no check can be added$"
        ):
            endpoint.add_check("disk", check, interval=1, timeout=1)
        endpoint.died("nobody hears it")


async def test_a_canary_carries_the_marker_and_nothing_of_the_caller_changes() -> None:
    """Whatever the payload says of itself."""
    seen: list[Any] = []

    async def handler(request: Any) -> AsyncIterator[Any]:
        seen.append(request)
        request["token_ids"].clear()
        yield TOKEN

    given = {"token_ids": [1], "_HEALTH_CHECK": False}
    async with Bench(canary_wait_time=1) as bench:
        await bench.endpoint().register(handler, health_check_payload=given)
        await asyncio.sleep(1.5)
        assert [request["_HEALTH_CHECK"] for request in seen] == [True, True]
        assert given == {"token_ids": [1], "_HEALTH_CHECK": False}


async def test_every_canary_of_an_endpoint_gets_its_payload_whole() -> None:
    """A handler that eats its request does not starve the next canary."""
    seen: list[list[int]] = []

    async def handler(request: Any) -> AsyncIterator[Any]:
        seen.append(list(request["token_ids"]))
        request["token_ids"].clear()
        yield TOKEN

    async with Bench(canary_wait_time=1) as bench:
        await bench.endpoint().register(handler, health_check_payload=PAYLOAD)
        await asyncio.sleep(1.5)
        assert seen == [[1], [1]]


async def test_a_ready_made_payload_is_taken_as_it_is() -> None:
    """With the settings' override laid over it."""

    class Mine(HealthCheckPayload):
        """A payload of one's own."""

        def __init__(self) -> None:
            self.default_payload = {"prompt": "ping"}
            super().__init__(environ={})

    seen: list[Any] = []

    async def handler(request: Any) -> AsyncIterator[Any]:
        seen.append(request)
        yield TOKEN

    for overriding in (None, '{"prompt": "other"}'):
        async with Bench(health_check_payload=overriding) as bench:
            await bench.endpoint().register(handler, health_check_payload=Mine())
            await bench.until_ready()
    assert [request["prompt"] for request in seen] == ["ping", "other"]


async def test_without_a_payload_it_is_ready_as_declared() -> None:
    """Nobody asks it, whatever happens."""
    async with Bench() as bench:
        engine = Engine("raises")
        endpoint = bench.endpoint()
        await endpoint.register(engine.generate)
        with pytest.raises(RuntimeError):
            await read(endpoint.stream({}))
        await asyncio.sleep(100)
        assert bench.reason() is Reason.DECLARED
        assert engine.canaries == []


async def test_with_canaries_disabled_a_payload_is_not_sent() -> None:
    """The reference's default."""
    async with Bench(health_check_enabled=False) as bench:
        engine = Engine()
        await bench.serve(engine)
        await asyncio.sleep(100)
        assert engine.canaries == []
        assert bench.reason() is Reason.DECLARED


async def test_serving_lasts_until_the_runtime_has_drained() -> None:
    """Then it is withdrawn."""
    async with Bench() as bench:
        serving = asyncio.create_task(
            bench.endpoint().serve_endpoint(one, health_check_payload=PAYLOAD)
        )
        await bench.until_ready_once_served()
        bench.drained.set()
        await serving
        assert bench.board.endpoints == {}
        assert bench.served == {}


async def test_serving_that_is_cancelled_withdraws() -> None:
    """Its task may end in any way."""
    async with Bench() as bench:
        serving = asyncio.create_task(bench.endpoint().serve_endpoint(one))
        await asyncio.sleep(1)
        serving.cancel()
        await asyncio.wait([serving])
        assert bench.board.endpoints == {}


async def test_a_request_in_flight_goes_on_after_its_endpoint_is_withdrawn() -> None:
    """To its end."""
    async with Bench() as bench:
        engine = Engine()
        engine.items = [TOKEN] * 5
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        stream = endpoint.stream({})
        await first_of(stream)
        await endpoint.withdraw()
        assert len(await read(stream)) == 4


async def test_what_a_withdrawn_handler_yields_does_not_prove_its_successor() -> None:
    """Nor do its failures raise a suspicion."""
    async with Bench() as bench:
        engine = Engine()
        engine.items = [TOKEN] * 100
        engine.latency = 0.1
        endpoint = await bench.serve(engine)
        reading = asyncio.create_task(read(endpoint.stream({})))
        await asyncio.sleep(0.05)
        await endpoint.withdraw()
        await bench.serve(Engine("hangs"))
        assert len(await reading) == 100
        assert not bench.ready()
        assert bench.standing().proven_at is None


async def test_an_endpoints_engine_can_be_said_to_have_died() -> None:
    """By its owner; a good canary takes it back."""
    async with Bench() as bench:
        engine = Engine()
        endpoint = await bench.serve(engine)
        await bench.until_ready()
        engine.behaviour = "hangs"
        endpoint.died("exit code -9")
        assert bench.reason() is Reason.ENGINE_DIED
        assert not bench.liveness().live
        engine.behaviour = "good"
        await bench.until_ready(within=12)


async def test_a_context_has_an_id_and_can_be_stopped() -> None:
    """One that is given is kept, one that is not is made once."""
    assert Context(request_id="r-1").id() == "r-1"
    made = Context()
    assert made.id() == made.id()
    assert made.id() != Context().id()
    assert not made.is_stopped()
    made.stop_generating()
    assert made.is_stopped()
