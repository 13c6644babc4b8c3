"""What an HTTP status other than 200 means for a canary, and whose fault it is.

A 4xx speaks of the question, not of the engine: a wrong key or model must not look like a hang.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from serinus.core.evidence import CanaryFault
from serinus.engines.foreign import quoted
from serinus.engines.protocol import Blame, Failure

__all__ = ["MAX_REFUSAL_BYTES", "blame_for", "error_text", "refusal"]

MAX_REFUSAL_BYTES = 16 << 10
"""How much of an error's body is worth reading."""

_LOAD = frozenset({408, 429, 529})
_FULL = (
    "currently busy and cannot accept",  # vLLM 0.32
    "request queue is full",  # SGLang 0.5, --max-queued-requests
    "server busy, please try again",  # Ollama, OLLAMA_MAX_QUEUE
    "all workers are busy",  # Dynamo 1.6's frontend
    "model is overloaded",  # TGI
)
"""What engines say, in lower case, when their queue is full."""
_UNKNOWN_FIELD = ("extra inputs are not permitted", "extra_forbidden")
"""What servers made of pydantic say of a field that their release does not have (vLLM to 0.6)."""
_NO_ROUTE = frozenset({404, 405, 501})


def refusal(status: int, body: bytes = b"") -> Failure:
    """Return the failure that a status and (the beginning of) its body stand for.

    >>> print(refusal(404, b'{"error": {"message": "The model `x` does not exist."}}'))
    model not found (HTTP 404): 'The model `x` does not exist.'
    """
    error = _error_of(body)
    blame, unsupported, meaning = _meaning(status, error)
    detail = f"{meaning} (HTTP {status})"
    # What an authorization failure says may repeat the key.
    text = "" if status in {401, 403} else _shown(error, body)
    return Failure(
        CanaryFault.ERROR_ITEM,
        f"{detail}: {quoted(text)}" if text else detail,
        blame=blame,
        status=status,
        unsupported=unsupported,
    )


def error_text(error: object) -> str:
    """Return what an `error` member says: `type: message` of an object, or the string it is.

    >>> error_text({"type": "NotFoundError", "message": "no", "code": 404})
    'NotFoundError: no'
    """
    if not isinstance(error, Mapping):
        return _plain(error)
    told = [_plain(error[key]) for key in ("type", "message") if error.get(key)]
    return ": ".join(told) or _plain(error)


def blame_for(error: str) -> Blame:
    """Return whose fault an error in an answer is: too much work is nobody's.

    >>> blame_for("finish_reason abort: The request queue is full.")
    <Blame.LOAD: 'load'>
    """
    return Blame.LOAD if _says_full(error) else Blame.ENGINE


def _says_full(message: str) -> bool:
    lower = message.lower()
    return any(words in lower for words in _FULL)


def _meaning(status: int, error: object) -> tuple[Blame, bool, str]:
    message = _message(error).lower()
    if status in {401, 403}:
        return Blame.CANARY, False, "refused by authorization"
    if status in _LOAD or (status == 503 and _says_full(message)):
        return Blame.LOAD, False, "the engine has too much to do"
    if _lacks_completions(status, message) or _lacks_a_field(status, message):
        return Blame.CANARY, True, "not supported by the server"
    if status == 404 and _speaks_of_model(error, message):
        return Blame.CANARY, False, "model not found"
    if status in _NO_ROUTE:
        return Blame.CANARY, True, "the server has no such route"
    if status == 424:  # TGI's for a generation that failed
        return Blame.ENGINE, False, "the engine failed"
    if 400 <= status < 500:
        return Blame.CANARY, False, "bad request" if status in {400, 422} else "request refused"
    if 300 <= status < 400:
        return Blame.CANARY, False, "redirected: give the address that answers itself"
    if 200 <= status < 300:
        return Blame.ENGINE, False, "not the status of an answer"
    return Blame.ENGINE, False, "the engine failed"


def _lacks_completions(status: int, message: str) -> bool:
    """OpenAI says it with 404, vLLM with 400 or 501, in words that differ."""
    if status not in {400, 404, 422, 501}:
        return False
    return "support" in message and ("completion" in message or "endpoint" in message)


def _lacks_a_field(status: int, message: str) -> bool:
    """The question is one of another release: there may be another way to put it."""
    return status in {400, 422} and any(words in message for words in _UNKNOWN_FIELD)


def _speaks_of_model(error: object, message: str) -> bool:
    if isinstance(error, Mapping) and (
        error.get("param") == "model" or error.get("code") == "model_not_found"
    ):
        return True
    return "model" in message


def _error_of(body: bytes) -> object:
    try:
        parsed: Any = json.loads(body[:MAX_REFUSAL_BYTES])
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, Mapping):
        return None
    if parsed.get("error"):
        return parsed["error"]
    if parsed.get("detail"):  # FastAPI
        return {"message": _plain(parsed["detail"])}
    return parsed if parsed.get("message") else None


def _message(error: object) -> str:
    return _plain(error.get("message", "") if isinstance(error, Mapping) else error or "")


def _shown(error: object, body: bytes) -> str:
    if error is not None:
        return _message(error) or error_text(error)
    return body[:MAX_REFUSAL_BYTES].decode(errors="replace").strip()


def _plain(value: object) -> str:
    try:
        return str(value)
    except RecursionError:  # JSON may nest just deep enough to be read and not to be written
        return "(nested too deep to be shown)"
