"""A canary through a handler: which answers prove it, and which do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from serinus.core.evidence import CanaryFailed, CanaryFault, CanaryPassed, EngineDied
from serinus.runtime.canary import Handler, ask_handler
from serinus.runtime.context import Context
from tests.runtime.engines import EngineDeadError

PAYLOAD = {"token_ids": [1], "stop_conditions": {"max_tokens": 1}, "_HEALTH_CHECK": True}


def handler_of(*items: Any, latency: float = 0.0) -> Handler:
    """Return a handler that yields these items, or raises those that are exceptions."""

    async def handler(request: Any, context: Context) -> AsyncIterator[Any]:
        for item in items:
            await asyncio.sleep(latency)
            if isinstance(item, BaseException):
                raise item
            yield item

    return handler


async def asked(handler: Handler) -> tuple[CanaryPassed | CanaryFailed | EngineDied, ...]:
    """Ask a handler on the loop's clock."""
    return await ask_handler(handler, PAYLOAD, asyncio.get_running_loop().time)


async def fault_of(handler: Handler) -> tuple[CanaryFault, str]:
    """How a canary failed that has to fail."""
    (failed,) = await asked(handler)
    assert isinstance(failed, CanaryFailed)
    return failed.fault, failed.detail


async def test_one_token_proves_it() -> None:
    """With the time to the first item and to the end, and the tokens."""
    handler = handler_of({"token_ids": []}, {"token_ids": [5]}, {"token_ids": [6, 7]}, latency=0.2)
    (passed,) = await asked(handler)
    assert isinstance(passed, CanaryPassed)
    assert passed.first_item == pytest.approx(0.2)
    assert passed.total == pytest.approx(0.6)
    assert passed.tokens == 3


@pytest.mark.parametrize("item", [{"token_ids": [5]}, "", {"choices": [{"text": ""}]}, {}])
async def test_a_token_can_be_empty_text(item: Any) -> None:
    """And output of an unknown shape counts as one."""
    (passed,) = await asked(handler_of(item))
    assert isinstance(passed, CanaryPassed)


@pytest.mark.parametrize(
    ("items", "detail"),
    [
        ((), "0 item(s), no token"),
        ((None,), "1 item(s), no token"),
        (({"token_ids": []}, {"token_ids": [], "finish_reason": "length"}), "2 item(s), no token"),
    ],
)
async def test_items_without_a_token_prove_nothing(items: tuple[Any, ...], detail: str) -> None:
    """The reference takes any item for a proof."""
    assert await fault_of(handler_of(*items)) == (CanaryFault.EMPTY, detail)


@pytest.mark.parametrize(
    "bad",
    [{"error": "x"}, {"finish_reason": {"error": "x"}}, {"event": "error", "data": "x"}],
)
async def test_an_error_anywhere_in_the_stream_fails(bad: Any) -> None:
    """After good tokens too: the whole stream is read."""
    for items in ((bad,), ({"token_ids": [5]}, bad)):
        fault, detail = await fault_of(handler_of(*items))
        assert fault is CanaryFault.ERROR_ITEM
        assert "x" in detail


@pytest.mark.parametrize("items", [(), ({"token_ids": [5]},)], ids=["at once", "after a token"])
async def test_a_handler_that_raises_fails(items: tuple[Any, ...]) -> None:
    """With the type and the text of what it raised."""
    assert await fault_of(handler_of(*items, RuntimeError("a\nb"))) == (
        CanaryFault.RAISED,
        "RuntimeError: a b",
    )


async def test_the_engines_own_word_of_death_is_told_besides() -> None:
    """The failure first, then the death, at one time."""
    failed, died = await asked(handler_of(EngineDeadError("gone")))
    assert isinstance(failed, CanaryFailed)
    assert died == EngineDied(failed.at, "EngineDeadError: gone")


@pytest.mark.parametrize("latency", [0.0, 0.5])
async def test_a_handler_is_closed_before_its_outcome_is_told(latency: float) -> None:
    """An error item ends the reading; the handler's own cleaning up is waited for."""
    closed = []

    async def handler(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            yield {"error": "x"}
            yield {"token_ids": [5]}
        finally:
            await asyncio.sleep(latency)
            closed.append(True)

    assert (await fault_of(handler))[0] is CanaryFault.ERROR_ITEM
    assert closed == [True]


async def test_every_canary_gets_a_payload_of_its_own() -> None:
    """What one handler does to its request does not reach the next canary."""
    seen = []

    async def greedy(request: Any, context: Context) -> AsyncIterator[Any]:
        seen.append(request["stop_conditions"].pop("max_tokens"))
        request.clear()
        yield {"token_ids": [5]}

    for _ in range(2):
        await asked(greedy)
    assert seen == [1, 1]
    assert PAYLOAD["stop_conditions"] == {"max_tokens": 1}


async def test_a_handler_can_tell_that_it_is_asked_by_a_canary() -> None:
    """By the marker in the request, and by its context."""
    heard: list[tuple[Any, bool, str]] = []

    async def handler(request: Any, context: Context) -> AsyncIterator[Any]:
        heard.append((request["_HEALTH_CHECK"], context.is_canary, context.id().split("-")[0]))
        yield "a"

    await asked(handler)
    assert heard == [(True, True, "canary")]


async def test_an_iterator_without_aclose_is_good_enough() -> None:
    """A handler need not be a generator function by then."""

    class Once:
        left = 1

        def __aiter__(self) -> Once:
            return self

        async def __anext__(self) -> str:
            self.left -= 1
            if self.left < 0:
                raise StopAsyncIteration
            return "a"

    (passed,) = await asked(lambda _request, _context: Once())
    assert isinstance(passed, CanaryPassed)
