"""Fine points that were found late: each could have hurt someone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from serinus import Context, Runtime, Settings
from serinus.runtime.answers import tokens_in


async def runtime(**settings: Any) -> Runtime:
    """A runtime in virtual time, canaries on."""
    clock = asyncio.get_running_loop().time
    return Runtime(Settings(health_check_enabled=True, **settings), clock=clock, seed=1)


async def test_bad_requests_that_overlap_are_no_silence() -> None:
    """Clients that send what the engine refuses do not get a healthy worker restarted."""

    async def refuses(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        await asyncio.sleep(4)
        if request.get("bad"):
            raise ValueError("context length exceeded")
        yield {"token_ids": [1]}

    async with await runtime(health_check_busy_stall=10, health_check_request_timeout=5) as opened:
        endpoint = opened.endpoint("n.c.e")
        await endpoint.register(refuses, health_check_payload={"token_ids": [1]})
        await asyncio.sleep(5)

        async def bad(delay: float) -> None:
            await asyncio.sleep(delay)
            with pytest.raises(ValueError, match="context length"):
                assert [item async for item in endpoint.stream({"bad": True})]

        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(bad(2.0 * number))
        report = opened.report()
        assert report.readiness.ready
        assert report.liveness.live
        assert [moment.after for moment in report.history if moment.subject == "n.c.e"] == ["ready"]


async def test_ending_a_lease_twice_does_not_begin_its_budgets_anew() -> None:
    """Only the first end counts."""
    async with await runtime(lease_max=100) as opened:
        lease = opened.board.lease("weights", seconds=50)
        endpoint = opened.endpoint("n.c.e")

        async def echo(request: Any) -> AsyncIterator[Any]:
            yield request

        await endpoint.register(echo, health_check_payload={"token_ids": [1]})
        lease.release()
        ended_at = opened.report().endpoints[0].standing.lease_until
        await asyncio.sleep(20)
        lease.release()
        assert opened.report().endpoints[0].standing.lease_until == ended_at


async def test_liveness_comes_back_with_the_first_proof_whatever_the_success_threshold() -> None:
    """A hang is over when a token comes, even where readiness wants two."""
    state = {"hangs": False}

    async def answers(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        if state["hangs"]:
            await asyncio.Event().wait()
        yield {"token_ids": request["token_ids"]}

    told: list[bool] = []
    settings = {"success_threshold": 2, "hang_budget": 5, "canary_wait_time": 2}
    async with await runtime(**settings) as opened:
        await opened.endpoint("n.c.e").register(answers, health_check_payload={"token_ids": [1]})
        await asyncio.sleep(10)
        state["hangs"] = True
        await asyncio.sleep(30)
        assert not opened.report().liveness.live
        opened.board.changed = lambda: told.append(opened.report().liveness.live)
        state["hangs"] = False
        await asyncio.sleep(5)
        assert told[0] is True


@pytest.mark.parametrize(
    ("chunk", "tokens"),
    [
        ({"choices": [{"delta": {"role": "assistant", "content": ""}}]}, 0),
        ({"choices": [{"delta": {"role": "assistant"}}]}, 0),
        ({"choices": [{"delta": {"role": "assistant", "content": "hi"}}]}, 1),
        ({"choices": [{"delta": {"content": ""}}]}, 1),
        ({"choices": [{"text": ""}]}, 1),
        ({"choices": []}, 0),
    ],
)
def test_a_chats_opening_chunk_is_no_token(chunk: dict[str, Any], tokens: int) -> None:
    """The role comes before the engine has done anything."""
    assert tokens_in(chunk) == tokens


async def test_an_option_of_a_handler_is_not_given_the_context() -> None:
    """A second parameter with a default is the handler's own, unless it is called context."""
    seen: list[object] = []

    async def tuned(request: Any, temperature: float = 0.5) -> AsyncIterator[Any]:
        seen.append(temperature)
        yield request

    async def told(request: Any, context: Context | None = None) -> AsyncIterator[Any]:
        seen.append(type(context))
        yield request

    async with await runtime() as opened:
        for name, handler in (("a", tuned), ("b", told)):
            endpoint = opened.endpoint(f"n.c.{name}")
            await endpoint.register(handler)
            assert [item async for item in endpoint.stream("x")] == ["x"]
    assert seen == [0.5, Context]
