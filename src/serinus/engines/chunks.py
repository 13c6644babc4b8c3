"""One JSON object of a completion, streamed or whole: what it brings, as far as it says.

It knows the text and the chat shape of OpenAI's API, and where engines go beyond it (token ids,
reasoning, error objects).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from serinus.engines.refusals import error_text

__all__ = ["Chunk", "read_chunk"]

_TEXTS = ("text", "content", "reasoning_content", "reasoning", "refusal", "tool_calls")
_ERROR_ENDS = frozenset({"error", "abort", "aborted", "cancelled", "internal_error"})


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one object brings. None: it does not say."""

    output: bool = False
    """It has output that can be seen."""
    token_ids: int | None = None
    usage: int | None = None
    """The completion tokens of the whole answer so far, as the engine counts them."""
    finish: str | None = None
    error: str | None = None


def read_chunk(item: object) -> Chunk | None:
    """Return what an item brings, or None for one of another shape.

    >>> read_chunk({"choices": [{"text": "", "token_ids": [100], "finish_reason": "length"}]})
    Chunk(output=False, token_ids=1, usage=None, finish='length', error=None)
    >>> read_chunk({"error": {"message": "CUDA out of memory"}}).error
    'CUDA out of memory'
    >>> read_chunk({"status": "ok"}) is None
    True
    """
    if not isinstance(item, Mapping):
        return None
    if item.get("error"):
        return Chunk(error=error_text(item["error"]))
    if item.get("object") == "error":  # as vLLM once had it, and FastChat still does
        return Chunk(error=error_text(item))
    choices = item.get("choices")
    if not isinstance(choices, list) or not all(isinstance(one, Mapping) for one in choices):
        return None
    finish = next((one["finish_reason"] for one in choices if one.get("finish_reason")), None)
    return Chunk(
        output=any(_has_output(choice) for choice in choices),
        token_ids=_sum(_count_ids(choice) for choice in choices),
        usage=_completion_tokens(item.get("usage")),
        finish=_finish_word(finish),
        error=_finish_error(finish),
    )


def _has_output(choice: Mapping[str, Any]) -> bool:
    parts = (choice, choice.get("delta"), choice.get("message"))
    return any(part.get(key) for part in parts if isinstance(part, Mapping) for key in _TEXTS)


def _count_ids(choice: Mapping[str, Any]) -> int | None:
    ids = choice.get("token_ids")
    return len(ids) if isinstance(ids, list) else None


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _completion_tokens(usage: object) -> int | None:
    count = usage.get("completion_tokens") if isinstance(usage, Mapping) else None
    return count if type(count) is int else None


def _finish_word(finish: object) -> str | None:
    if isinstance(finish, Mapping):  # SGLang's own: {"type": "length", "length": 1}
        return str(finish.get("type", "unknown"))
    return None if finish is None else str(finish)


def _finish_error(finish: object) -> str | None:
    if isinstance(finish, Mapping) and finish.get("error"):
        return f"finish_reason {error_text(finish['error'])}"
    word = _finish_word(finish)
    if word is None or word.lower() not in _ERROR_ENDS:
        return None
    told = finish.get("message") if isinstance(finish, Mapping) else None
    return f"finish_reason {word}: {told}" if told else f"finish_reason {word}"
