"""The pages of an engine beside the two that make text, apart from any HTTP library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from serinus.sim.answers import as_json

__all__ = ["JSON", "Page", "Pages", "Situation", "json_page"]

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Page:
    """A status and a body, with the type of the body where it has one."""

    status: int = 200
    body: str = ""
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What a page may depend on: `in_flight` counts the requests for text that are being served.

    `metrics` renders the metrics page, which only the page itself should pay for.
    """

    loading: bool
    in_flight: int
    metrics: Callable[[], str]


#: For each path the methods it takes, and what they answer.
Pages = Mapping[str, Mapping[str, Callable[[Situation], Page]]]


def json_page(value: Mapping[str, Any], *, status: int = 200) -> Page:
    """Return a page of JSON."""
    return Page(status, as_json(value), JSON)
