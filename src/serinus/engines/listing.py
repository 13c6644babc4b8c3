"""The list of models, in the shape of OpenAI's `GET /v1/models`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from serinus.engines.foreign import quoted
from serinus.errors import EngineError

__all__ = ["MAX_LIST_BYTES", "read_model_list", "read_names"]

MAX_LIST_BYTES = 4 << 20


def read_model_list(body: bytes) -> tuple[str, ...]:
    """Return the ids of the listed models, each once; adapters come after the base models.

    vLLM names an adapter's base in `parent`. Raises EngineError for another shape, and for more
    than MAX_LIST_BYTES.

    >>> read_model_list(b'{"data": [{"id": "lora", "parent": "base"}, {"id": "base"}]}')
    ('base', 'lora')
    >>> read_model_list(b'{"object": "list", "data": []}')
    ()
    """
    models = _entries(body, "data", "id")
    models.sort(key=lambda one: bool(one.get("parent")))
    return tuple(dict.fromkeys(one["id"] for one in models))


def read_names(body: bytes, *, member: str, name: str) -> tuple[str, ...]:
    """Return the names of models listed in another shape: `{member: [{name: …}]}`, each once.

    Raises EngineError as `read_model_list` does.

    >>> read_names(b'{"models": [{"name": "tiny:latest"}]}', member="models", name="name")
    ('tiny:latest',)
    """
    return tuple(dict.fromkeys(one[name] for one in _entries(body, member, name)))


def _entries(body: bytes, member: str, name: str) -> list[Mapping[str, Any]]:
    if len(body) > MAX_LIST_BYTES:
        raise EngineError(f"the list of models is larger than {MAX_LIST_BYTES} bytes")
    try:
        parsed: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _wrong(body, member, name) from error
    entries = parsed.get(member) if isinstance(parsed, Mapping) else None
    if not isinstance(entries, list):
        raise _wrong(body, member, name)
    models = [one for one in entries if isinstance(one, Mapping) and isinstance(one.get(name), str)]
    if len(models) != len(entries):
        raise _wrong(body, member, name)
    return models


def _wrong(body: bytes, member: str, name: str) -> EngineError:
    shown = quoted(body[:1024].decode(errors="replace"))
    return EngineError(f'not a list of models: {shown}; expected {{"{member}": [{{"{name}": …}}]}}')
