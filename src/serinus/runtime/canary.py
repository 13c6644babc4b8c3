"""A canary through a handler: the whole stream is read, and its tokens are counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

from serinus.core.evidence import (
    CanaryFailed,
    CanaryFault,
    CanaryPassed,
    CanaryUnknown,
    EngineDied,
)
from serinus.core.transcript import Transcript
from serinus.errors import excerpt
from serinus.runtime.answers import error_in, looks_bad, tokens_in
from serinus.runtime.context import Context
from serinus.runtime.deaths import death_in, failed_for_good

__all__ = ["Handler", "ask_handler", "examine_handler"]

Handler: TypeAlias = Callable[[Any, Context], AsyncIterator[Any]]
"""A handler in its two-argument form."""

_CONTAINERS = (dict, list)


async def ask_handler(
    handler: Handler, payload: dict[str, Any], clock: Callable[[], float]
) -> tuple[CanaryPassed | CanaryFailed | EngineDied, ...]:
    """Send the payload through the handler; the caller keeps the deadline by cancelling."""
    sent = clock()
    first = None
    tokens = items = 0
    stream = handler(_fresh(payload), Context(is_canary=True))
    try:
        async for item in stream:
            if first is None:
                first = clock() - sent
            error = error_in(item) if looks_bad(item) else None
            if error is not None:
                return failed_for_good(CanaryFailed(clock(), sent, CanaryFault.ERROR_ITEM, error))
            items += 1
            tokens += tokens_in(item)
    except Exception as error:  # noqa: BLE001 - whatever a handler raises is evidence
        detail = f"{type(error).__name__}: {excerpt(error)}"
        failed = CanaryFailed(clock(), sent, CanaryFault.RAISED, detail)
        return failed_for_good(failed, error)
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
    now = clock()
    if first is None or not tokens:
        detail = f"{items} item(s), no token"
        return (CanaryFailed(now, sent, CanaryFault.EMPTY, detail),)
    return (CanaryPassed(now, first, now - sent, tokens),)


async def examine_handler(
    handler: Handler,
    payload: dict[str, Any],
    clock: Callable[[], float],
    *,
    said: Callable[[Any], Transcript],
    first_within: float,
    rest_within: float,
) -> tuple[tuple[CanaryPassed | CanaryFailed | CanaryUnknown | EngineDied, ...], Transcript | None]:
    """Send a greedy request through the handler; return what it proves, and what was said.

    Nothing was said if there was no whole answer within these seconds. A first token that is late
    fails; any other trouble may be the request's own fault, and only asks for a second question.
    """
    sent, first, told, tokens = clock(), None, Transcript(), 0
    loop = asyncio.get_running_loop()
    stream = handler(_fresh(payload), Context(is_canary=True))
    try:
        async with asyncio.timeout(first_within) as limit:
            async for item in stream:
                error = error_in(item)
                if error is not None:
                    return (CanaryUnknown(clock(), f"an exam brought an {error}"),), None
                told = told.joined(said(item))
                tokens += tokens_in(item)
                if first is None:
                    first = clock() - sent
                    limit.reschedule(loop.time() + rest_within)
    except TimeoutError:
        now = clock()
        if first is None or not tokens:
            return (CanaryFailed(now, sent, CanaryFault.TIMEOUT),), None
        return (CanaryPassed(now, first, first, tokens),), None
    except Exception as error:  # noqa: BLE001 - whatever a handler raises is evidence
        detail = f"{type(error).__name__}: {excerpt(error)}"
        unknown = CanaryUnknown(clock(), f"an exam raised {detail}")
        return (unknown, EngineDied(unknown.at, detail)) if death_in(error) else (unknown,), None
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
    now = clock()
    if first is None or not tokens:
        return (CanaryFailed(now, sent, CanaryFault.EMPTY, "an exam brought no token"),), told
    return (CanaryPassed(now, first, first, tokens),), told


def _fresh(payload: Any) -> Any:
    """Copy dicts and lists all the way down: a handler may change its request, not the next one."""
    if isinstance(payload, dict):
        return {
            key: _fresh(value) if isinstance(value, _CONTAINERS) else value
            for key, value in payload.items()
        }
    return [_fresh(value) if isinstance(value, _CONTAINERS) else value for value in payload]
