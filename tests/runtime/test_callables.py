"""What a callable is under its layers."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from serinus.runtime.callables import gives_awaitable, gives_stream


async def stream(request: Any, temperature: float = 0.0) -> AsyncIterator[Any]:
    """Be an async generator function."""
    yield request


async def coroutine(request: Any = None) -> Any:
    """Be a coroutine function."""
    return request


def plain(request: Any) -> Any:
    """Be neither."""
    return request


class Streaming:
    """A callable object, and methods of every kind."""

    async def __call__(self, request: Any) -> AsyncIterator[Any]:
        """Be called as a stream."""
        yield request

    async def method(self, request: Any) -> AsyncIterator[Any]:
        """Be bound."""
        yield self

    @classmethod
    async def of_class(cls, request: Any) -> AsyncIterator[Any]:
        """Be bound to the class."""
        yield cls

    @staticmethod
    async def static(request: Any) -> AsyncIterator[Any]:
        """Be bound to nothing."""
        yield request


class Checking:
    """A callable object that is awaited."""

    async def __call__(self) -> bool:
        """Be called as a coroutine."""
        return True


def logged(inner: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate with a plain function, as tracing libraries do."""

    @functools.wraps(inner)
    def outer(*args: Any) -> Any:
        return inner(*args)

    return outer


class Decorated:
    """A handler's class whose method is decorated."""

    method = logged(stream)


@functools.wraps(coroutine)
async def streamed(request: Any) -> AsyncIterator[Any]:
    """Make a stream of a coroutine."""
    yield await coroutine(request)


@functools.wraps(stream)
async def collected(request: Any) -> Any:
    """Make a coroutine of a stream."""
    return [item async for item in stream(request)]


CIRCLE = logged(plain)
CIRCLE.__wrapped__ = CIRCLE  # type: ignore[attr-defined]

STREAMS: dict[str, Any] = {
    "a function": stream,
    "a partial": functools.partial(stream, temperature=1.0),
    "a partial of a partial": functools.partial(functools.partial(stream), temperature=1.0),
    "a bound method": Streaming().method,
    "a partial of a bound method": functools.partial(Streaming().method),
    "a class method": Streaming.of_class,
    "a static method": Streaming.static,
    "a callable object": Streaming(),
    "a partial of a callable object": functools.partial(Streaming()),
    "a decorated function": logged(stream),
    "a decorated method": logged(Streaming().method),
    "a bound method that was decorated": Decorated().method,
    "a stream around a coroutine": streamed,
}
AWAITABLES: dict[str, Any] = {
    "a coroutine function": coroutine,
    "a partial of one": functools.partial(coroutine, 1),
    "a callable object that is awaited": Checking(),
    "a decorated one": logged(coroutine),
    "a coroutine around a stream": collected,
}
NEITHER: dict[str, Any] = {
    "a plain function": plain,
    "a partial of one": functools.partial(plain, 1),
    "a lambda": lambda _request: None,
    "a builtin": print,
    "a method of a builtin": "text".join,
    "a class": Streaming,
    "an object": object(),
    "a number": 5,
    "nothing": None,
    "what wraps itself": CIRCLE,
}


@pytest.mark.parametrize("call", STREAMS.values(), ids=STREAMS.keys())
def test_a_stream_is_known_under_its_layers(call: Any) -> None:
    """The outermost layer that tells decides."""
    assert gives_stream(call)
    assert not gives_awaitable(call)


@pytest.mark.parametrize("call", AWAITABLES.values(), ids=AWAITABLES.keys())
def test_an_awaitable_is_known_under_its_layers(call: Any) -> None:
    """The outermost layer that tells decides."""
    assert gives_awaitable(call)
    assert not gives_stream(call)


@pytest.mark.parametrize("call", NEITHER.values(), ids=NEITHER.keys())
def test_what_is_neither_is_neither(call: Any) -> None:
    """And looking does not call it, nor go on for ever."""
    assert not gives_stream(call)
    assert not gives_awaitable(call)
