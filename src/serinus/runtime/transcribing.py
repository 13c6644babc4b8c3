"""Reading what a handler yields as a transcript: which tokens, how likely, what nearly came.

The shapes are those of Dynamo's engines (`token_ids`, `log_probs`, `top_logprobs`) and of OpenAI's
API (`choices`), as keys of a mapping or attributes of an object. Text is told by its characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serinus.core.transcript import Transcript
from serinus.engines.transcripts import characters, margin, number, said_openai

__all__ = ["said_in"]


def said_in(item: Any) -> Transcript:
    """Return what one good item brings.

    >>> said_in({"token_ids": [7], "log_probs": [-0.5]})
    Transcript(tokens=(7,), logprobs=(-0.5,), margins=None, text='', by=<Unit.ID: 'id'>)
    """
    if isinstance(item, str):
        return characters(item)
    if isinstance(item, Mapping) and "choices" in item:
        return said_openai(item)
    text = _field(item, "text")
    ids = _field(item, "token_ids")
    if not isinstance(ids, list | tuple) or not ids:
        return characters(text) if isinstance(text, str) else Transcript()
    own, tops = _field(item, "log_probs"), _field(item, "top_logprobs")
    logprobs = margins = None
    if isinstance(own, list | tuple) and len(own) == len(ids):
        logprobs = tuple(map(number, own))
        if isinstance(tops, list | tuple) and len(tops) == len(ids):
            pairs = list(zip(logprobs, map(_numbers, tops), strict=True))
            if all(len(top) > 1 for _, top in pairs):
                margins = tuple(margin(one, top) for one, top in pairs)
    return Transcript(tuple(ids), logprobs, margins, text if isinstance(text, str) else "")


def _numbers(top: Any) -> list[float]:
    """Read the best tokens of a place: a list of objects with a `logprob`, or ids to numbers."""
    if isinstance(top, Mapping):
        return [number(_field(one, "logprob", one)) for one in top.values()]
    return [number(_field(one, "logprob", one)) for one in top or ()]


def _field(item: Any, name: str, default: Any = None) -> Any:
    if isinstance(item, Mapping):
        return item.get(name, default)
    return getattr(item, name, default)
