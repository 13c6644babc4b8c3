"""From the tokens of a job to the answer of the API: in one piece, or as the events of a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from serinus.sim.asks import Ask, Kind
from serinus.sim.jobs import Finish, Job
from serinus.sim.shapes import Answer, OpenAiShapes, Reply
from serinus.sim.words import Said

__all__ = ["as_json", "events", "whole"]

DONE = "[DONE]"


def as_json(value: object) -> str:
    """Write JSON as the engines do: compact, and characters as they are."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


async def whole(ask: Ask, job: Job, shapes: OpenAiShapes) -> Reply:
    """Gather all tokens of a job and return the answer, which may be an error."""
    stamp = shapes.stamp(ask.kind)
    said: list[list[Said]] = [[] for _ in ask.orders]
    finish: list[Finish | None] = [None] * len(ask.orders)
    async for delivery in job.deliveries():
        said[delivery.index] += delivery.said
        finish[delivery.index] = delivery.finish
    if Finish.ERROR in finish:
        return shapes.broken()
    answers = [
        Answer(index, order.prompt, tuple(said[index]), finish[index])
        for index, order in enumerate(ask.orders)
    ]
    return Reply(200, shapes.whole(ask, stamp, answers))


async def events(ask: Ask, job: Job, shapes: OpenAiShapes) -> AsyncIterator[str]:
    """Yield the data of each event of a stream, the closing mark included.

    An answer without a token has no event of its own; a chat's opening event, which has no token
    either, is sent all the same. So do the engines: an event is not yet a token.
    """
    stamp = shapes.stamp(ask.kind)
    made = [0] * len(ask.orders)
    greeted: set[int] = set()
    left = len(ask.orders)
    async for delivery in job.deliveries():
        index, finish = delivery.index, delivery.finish
        left -= finish is not None
        if finish is Finish.ERROR:
            yield as_json(shapes.broken().body)
            if shapes.done_after_error:
                yield DONE
            return
        prompt = ask.orders[index].prompt
        answer = Answer(index, prompt, delivery.said, finish)
        if ask.kind is Kind.CHAT and index not in greeted:
            yield as_json(shapes.role_chunk(ask, stamp, answer))
        first = index not in greeted
        greeted.add(index)
        made[index] += len(delivery.tokens)
        parts = [answer]
        if shapes.finish_apart and finish is not None and delivery.tokens:
            parts = [
                Answer(index, prompt, delivery.said, None),
                Answer(index, prompt, (), finish),
            ]
        for part in parts if made[index] else ():
            last = left == 0 and part is parts[-1]
            chunk = shapes.token_chunk(ask, stamp, part, first=first, last=last)
            if ask.steady_usage:
                chunk["usage"] = shapes.usage(len(prompt), made[index])
            yield as_json(chunk)
            first = False
    if ask.usage or not shapes.done:
        yield as_json(shapes.usage_chunk(ask, stamp, sum(made)))
    if shapes.done:
        yield DONE
