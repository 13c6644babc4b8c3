"""What a callable is under its layers: partials, bound methods, decorators, objects with a call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["gives_awaitable", "gives_stream"]

_DEEPEST = 32
"""Layers that are looked under; more is a callable that wraps itself."""


def gives_stream(call: Any) -> bool:
    """Say whether calling it gives an async generator; the outermost layer that tells decides."""
    return _first(call, inspect.isasyncgenfunction, inspect.iscoroutinefunction)


def gives_awaitable(call: Any) -> bool:
    """Say whether calling it gives a coroutine; the outermost layer that tells decides."""
    return _first(call, inspect.iscoroutinefunction, inspect.isasyncgenfunction)


def _first(call: Any, wanted: Callable[[Any], bool], other: Callable[[Any], bool]) -> bool:
    for layer in _layers(call):
        if wanted(layer) or other(layer):
            return wanted(layer)
    return False


def _layers(call: Any) -> Iterator[Any]:
    """Yield a callable and what lies under it, outermost first."""
    for _ in range(_DEEPEST):
        yield call
        if isinstance(call, functools.partial):
            call = call.func
        elif inspect.ismethod(call):
            call = call.__func__
        elif (wrapped := inspect.getattr_static(call, "__wrapped__", None)) is not None:
            call = wrapped
        elif inspect.isroutine(call) or inspect.isclass(call):
            return
        else:
            call = type(call).__call__
