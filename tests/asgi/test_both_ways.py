"""Events that are alike go a quicker way than others: both keep the same account."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from unittest.mock import patch

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serinus.asgi import exchange
from serinus.asgi.rounds import PACE
from serinus.asgi.types import Receive, Send
from serinus.core.evidence import RequestFault
from serinus.runtime.traffic import SAMPLE
from serinus.simulation.virtual_time import VirtualTimeLoop
from tests.asgi.apps import EVENT_STREAM, Model, event, settings, token, watched
from tests.asgi.test_evidence import served

LOOK = 0.037
"""Seconds between two looks at the account."""
PIECES = (
    token(),
    token(),
    token(),
    b"event: content_block_delta\ndata: {}\n\n",
    b": ping\n\n",
    b"once upon a time",
    event({"error": {"message": "CUDA error", "code": 500}}),
)


class Step(NamedTuple):
    """One piece: how long the engine makes it, how long the server needs to write it."""

    piece: bytes
    engine: float
    client: float


class Seen(NamedTuple):
    """What the account says in the end, and the silences that it showed on the way."""

    chunks: int
    finished: int
    cancelled: int
    errors: Mapping[RequestFault, int]
    left: tuple[int, int]
    silences: tuple[float, ...]


SECONDS = st.sampled_from([0.0, 0.01, 0.05, 0.09, 0.2, 2.0])
STEPS = st.lists(st.builds(Step, st.sampled_from(PIECES), SECONDS, SECONDS), max_size=3 * SAMPLE)


async def seen(steps: Sequence[Step], ends: str) -> Seen:
    clients = iter([step.client for step in steps] + [0.0])

    async def answer(_receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM})
        for step in steps:
            await asyncio.sleep(step.engine)
            await send({"type": "http.response.body", "body": step.piece, "more_body": True})
        if ends == "hangs":
            await asyncio.Event().wait()
        if ends == "raises":
            raise RuntimeError("CUDA error")
        await send({"type": "http.response.body", "body": b""})

    async def take() -> None:
        if seconds := next(clients):
            await asyncio.sleep(seconds)

    async with watched(Model(answer), settings()) as (server, runtime):
        clock = asyncio.get_running_loop().time
        traffic = served(runtime).traffic
        silences = []
        request = server.request(take=take)
        until = clock() + sum(step.engine + step.client for step in steps) + 1
        while clock() < until:
            await asyncio.sleep(LOOK)
            silences.append(traffic.silence(clock()))
        request.task.cancel()
        await asyncio.wait([request.task])
        return Seen(
            traffic.chunks,
            traffic.finished,
            traffic.cancelled,
            traffic.errors,
            (traffic.in_flight, traffic.awaiting),
            tuple(silences),
        )


def both(steps: Sequence[Step], ends: str) -> tuple[Seen, Seen]:
    """Have it accounted for as it is, and with no event taken for one like another."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        quick = runner.run(seen(steps, ends))
    with (
        patch.multiple(exchange, _DATA=-1, _EVENT=-1),
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
    ):
        return quick, runner.run(seen(steps, ends))


@given(STEPS, st.sampled_from(["well", "raises", "hangs"]))
@example([Step(token(), 0.01, 2.0)] * (2 * SAMPLE), "hangs")
@example([Step(token(), 2.0, 0.09)] * (2 * SAMPLE), "well")
def test_the_account_is_the_same_by_either_way(steps: list[Step], ends: str) -> None:
    """Of silences, but for rests of the client that no round has seen."""
    quick, slow = both(steps, ends)
    assert quick[:-1] == slow[:-1]
    assert quick.left == (0, 0)
    assert quick.silences == pytest.approx(slow.silences, rel=0, abs=PACE + 0.001)
