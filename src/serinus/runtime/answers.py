"""Reading what a handler yields: is it an error, and how many tokens does it bring.

Tokens are counted, never characters: the text of a good token can be empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serinus.errors import excerpt

__all__ = ["TELLING_KEYS", "error_in", "looks_bad", "status_of", "tokens_in"]

TELLING_KEYS = frozenset({"error", "event", "finish_reason", "choices"})
"""A dict without any of these keys carries no error."""

_ENDED_BY_MODEL = ("stop", "eos")


def looks_bad(item: Any) -> bool:
    """Say quickly whether `error_in` would find something; this is on the path of every chunk."""
    if type(item) is dict:
        return (
            ("error" in item and bool(item["error"]))
            or ("event" in item and item["event"] == "error")
            or ("finish_reason" in item and _is_error_finish(item["finish_reason"]))
            or ("choices" in item and error_in(item) is not None)
        )
    if type(item) is str or type(item) is bytes or item is None:
        return False
    return error_in(item) is not None


def error_in(item: Any) -> str | None:
    """Return a short text of the error that an item carries, or None for good output.

    Error-shaped are `{"error": …}`, an error finish reason (`"error…"` or `{"error": …}`) and an
    annotated error event (`{"event": "error"}`), as keys of a mapping or attributes of an object.

    >>> error_in({"finish_reason": {"error": "CUDA out of memory"}})
    "finish_reason: {'error': 'CUDA out of memory'}"
    >>> error_in({"token_ids": [5], "finish_reason": "length"}) is None
    True
    """
    if error := _field(item, "error"):
        return f"error: {excerpt(error)}"
    if _is_error_finish(reason := _field(item, "finish_reason")):
        return f"finish_reason: {excerpt(reason)}"
    if _field(item, "event") == "error":
        told = _field(item, "data") or _field(item, "comment") or ""
        return f"event: error {excerpt(told)}".rstrip()
    for choice in _choices(item):
        if _is_error_finish(reason := _field(choice, "finish_reason")):
            return f"finish_reason: {excerpt(reason)}"
    return None


def tokens_in(item: Any) -> int:
    """Count the tokens of one good item.

    `token_ids` are counted; an end that the model chose (`stop`, `eos`) counts as the one token
    that the engine keeps to itself. Output of an unknown shape counts as one; None as nothing.

    >>> tokens_in({"token_ids": [7, 9]}), tokens_in({"token_ids": []}), tokens_in("any text")
    (2, 0, 1)
    >>> tokens_in({"token_ids": [], "finish_reason": "stop"})
    1
    """
    if item is None:
        return 0
    ids = _field(item, "token_ids")
    if ids is None:
        choices = _choices(item)
        if not choices and _field(item, "choices") is None:
            return 1
        return sum(not _only_a_role(choice) for choice in choices)
    try:
        count = len(ids)
    except TypeError:
        return 1
    return count or int(_field(item, "finish_reason") in _ENDED_BY_MODEL)


def status_of(item: Any) -> int | None:
    """Return the HTTP-like code inside an error item, if it has one."""
    error = _field(item, "error")
    for holder in (error, item):
        code = _field(holder, "code") if not isinstance(holder, str) else None
        if type(code) is int:  # a bool is none
            return code
    return None


def _is_error_finish(reason: Any) -> bool:
    if reason is None:
        return False
    if isinstance(reason, str):
        return reason.startswith("error")
    return isinstance(reason, Mapping) and bool(reason.get("error"))


def _field(item: Any, name: str) -> Any:
    if type(item) is dict or isinstance(item, Mapping):  # the first is quick, and the usual case
        return item.get(name)
    if item is None or isinstance(item, str | bytes | int | float | list | tuple):
        return None
    try:
        value = getattr(item, name, None)
    except Exception:  # noqa: BLE001 - a property that raises must not break a user's stream
        return None
    return None if callable(value) else value


def _choices(item: Any) -> list[Any]:
    choices = _field(item, "choices")
    return list(choices) if isinstance(choices, list | tuple) else []


def _only_a_role(choice: Any) -> bool:
    """Say whether a chat's chunk opens the answer and brings no token yet."""
    delta = _field(choice, "delta")
    return bool(_field(delta, "role")) and not _field(delta, "content")
