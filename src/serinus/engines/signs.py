"""What a server shows of its kind, and how that is seen in its answers.

A sign is looked for in the answer to a `GET` of one path. What it weighs: a *proof* is shown by
one kind of engine alone, a *hint* by others too (a Dynamo worker's page has vLLM's samples on it),
and a *mention* says something of an engine that is known by other signs, such as its version.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from serinus.engines.foreign import quoted

__all__ = [
    "Sighting",
    "Sign",
    "Weight",
    "header",
    "lists_models",
    "member",
    "owned_by",
    "route",
    "samples",
    "text",
]


@dataclass(frozen=True, slots=True)
class Sighting:
    """The answer to a GET, or why there was none. The body may be cut; header names are lower."""

    path: str
    status: int | None = None
    headers: Mapping[str, str] | None = None
    body: bytes = b""
    trouble: str = ""

    def json(self) -> Any:
        """Return what a whole JSON body of a good answer says; None for anything else."""
        if self.status != 200:
            return None
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def __str__(self) -> str:
        if self.status is None:
            return f"{self.path}: {self.trouble}"
        told = "" if self.status == 404 or not self.body else f" {quoted(self._text(80), limit=60)}"
        return f"{self.path}: {self.status}{told}"

    def _text(self, most: int) -> str:
        return self.body[:most].decode(errors="replace")


class Weight(IntEnum):
    """What a sign weighs: no number of the lighter ones outweighs a heavier one."""

    PROOF = 100
    HINT = 10
    ANY = 1
    """Every server of OpenAI's API shows it."""
    MENTION = 0


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing to look for. `look` returns what is seen in words, or "" where it is not."""

    path: str
    look: Callable[[Sighting], str]
    weight: Weight = Weight.PROOF


def owned_by(owner: str) -> Sign:
    """The list of models says whose they are: most engines name themselves there.

    >>> page = Sighting("/v1/models", 200, {}, b'{"data": [{"id": "m", "owned_by": "vllm"}]}')
    >>> owned_by("vllm").look(page)
    "/v1/models says owned_by 'vllm'"
    """

    def look(page: Sighting) -> str:
        owners = {one.get("owned_by") for one in _entries(page)}
        return f"{page.path} says owned_by {owner!r}" if owners == {owner} else ""

    return Sign("/v1/models", look)


def lists_models() -> Sign:
    """The list of models has OpenAI's shape, which every one of these servers has."""

    def look(page: Sighting) -> str:
        parsed = page.json()
        listed = isinstance(parsed, Mapping) and isinstance(parsed.get("data"), list)
        return f"{page.path} lists {len(parsed['data'])} model(s)" if listed else ""

    return Sign("/v1/models", look, Weight.ANY)


def samples(prefix: str, weight: Weight = Weight.PROOF, *, path: str = "/metrics") -> Sign:
    """The metrics page has samples whose names begin so."""

    def look(page: Sighting) -> str:
        lines = page.body.decode(errors="replace").splitlines() if page.status == 200 else ()
        return f"{path} has {prefix}*" if any(line.startswith(prefix) for line in lines) else ""

    return Sign(path, look, weight)


def member(
    path: str,
    *names: str,
    told: str = "",
    value: str | None = None,
    weight: Weight = Weight.PROOF,
) -> Sign:
    """A JSON object has all of these members; the first is `value` where that is given.

    `told` is the member that the words repeat: a version, as a rule.
    """

    def look(page: Sighting) -> str:
        parsed = page.json()
        if not isinstance(parsed, Mapping) or any(name not in parsed for name in names):
            return ""
        if value is not None and parsed[names[0]] != value:
            return ""
        shown = f" {names[0]} {value!r}" if value is not None else f" {', '.join(names)}"
        version = f", {told} {quoted(parsed[told], limit=40)}" if parsed.get(told) else ""
        return f"{path} says{shown}{version}"

    return Sign(path, look, weight)


def text(path: str, beginning: str) -> Sign:
    """A page begins with this text."""

    def look(page: Sighting) -> str:
        said = page.body.lstrip(b'" \r\n').startswith(beginning.encode())
        return f"{path} says {beginning!r}" if page.status == 200 and said else ""

    return Sign(path, look)


def header(name: str, value: str, *, path: str = "/v1/models") -> Sign:
    """An answer, whatever its status, has this header with this value."""

    def look(page: Sighting) -> str:
        seen = (page.headers or {}).get(name, "")
        return f"{path} has the header {name}: {value}" if seen == value else ""

    return Sign(path, look)


def route(*paths: str) -> Sign:
    """The server's own description of its routes has all of these."""

    def look(page: Sighting) -> str:
        parsed = page.json()
        known = parsed.get("paths") if isinstance(parsed, Mapping) else None
        if not isinstance(known, Mapping) or any(path not in known for path in paths):
            return ""
        return f"{page.path} has the routes {' and '.join(paths)}"

    return Sign("/openapi.json", look)


def _entries(page: Sighting) -> list[Mapping[str, Any]]:
    parsed = page.json()
    entries = parsed.get("data") if isinstance(parsed, Mapping) else None
    if not isinstance(entries, list):
        return []
    return [one for one in entries if isinstance(one, Mapping) and not one.get("parent")]
