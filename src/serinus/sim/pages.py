"""The pages of an engine beside the two that make text, apart from any HTTP library."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from serinus.sim.answers import as_json

__all__ = ["JSON", "METRICS", "SERVER", "Page", "Pages", "Situation", "json_page"]

JSON = "application/json"
METRICS = "text/plain; version=0.0.4; charset=utf-8"
SERVER = "serinus-sim"
"""Of flavours that do not name themselves in the header."""


@dataclass(frozen=True, slots=True)
class Page:
    """A status and a body, with the type of the body where it has one."""

    status: int = 200
    body: str = ""
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What a page may depend on: `in_flight` counts the requests for text that are being served.

    `metrics` renders the metrics page, which only the page itself should pay for. `core` ends when
    the engine's own loop has taken its turn: never while it hangs. `generates` has the engine make
    one token, for as long as it is entered. `sleep` puts the engine to sleep, letting go of what
    is under way if asked to, and `wake` wakes it; `query` is that of the request.
    """

    loading: bool
    in_flight: int
    metrics: Callable[[], str]
    core: Callable[[], Awaitable[None]]
    generates: Callable[[], AbstractContextManager[object]]
    sleep: Callable[[bool], None]
    wake: Callable[[], None]
    asleep: bool
    query: Mapping[str, str] = field(default_factory=dict)


#: For each path the methods it takes, and what they answer, at once or when they can.
Pages = Mapping[str, Mapping[str, Callable[[Situation], Page | Awaitable[Page]]]]


def json_page(value: object, *, status: int = 200) -> Page:
    """Return a page of JSON."""
    return Page(status, as_json(value), JSON)
