"""The owner's own payload, from DYN_HEALTH_CHECK_PAYLOAD: a JSON object, or `@` and a file.

A bad one is an error at the start. The reference warns and goes on with the default, so that a
worker is proven by a request its owner did not choose; SERINUS_LENIENT_PAYLOAD=true restores that.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from serinus.errors import SettingsError, excerpt
from serinus.settings.kinds import RefusedError, Truth

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "LENIENT_VARIABLE",
    "MAX_OVERRIDE_BYTES",
    "PAYLOAD_VARIABLE",
    "load_override",
    "read_override",
]

PAYLOAD_VARIABLE = "DYN_HEALTH_CHECK_PAYLOAD"
LENIENT_VARIABLE = "SERINUS_LENIENT_PAYLOAD"
MAX_OVERRIDE_BYTES = 1 << 20
"""A payload asks for one token. One larger than this is a wrong path, not a payload."""

_ACCEPTED = (
    'accepted: a JSON object such as {"token_ids": [1]}, or @ and the path of a file that holds one'
)
_JSON_NAMES = {
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}
_TRUTH = Truth()

_log = logging.getLogger(__name__)


def load_override(environ: Mapping[str, str] | None = None) -> dict[str, Any] | None:
    """Return the owner's payload, or None where the variable is unset or empty.

    `environ` stands in for the process environment. An empty object is returned as it is: who
    asks decides what it means. Raises SettingsError for bad JSON, for anything but an object, and
    for a file that is missing, not regular, unreadable or larger than MAX_OVERRIDE_BYTES.

    >>> load_override({"DYN_HEALTH_CHECK_PAYLOAD": '{"prompt": "hi"}'})
    {'prompt': 'hi'}
    >>> load_override({}) is None
    True
    >>> load_override({"DYN_HEALTH_CHECK_PAYLOAD": "[1]"})
    Traceback (most recent call last):
    serinus.errors.SettingsError: DYN_HEALTH_CHECK_PAYLOAD: '[1]' holds an array; accepted: a JSON \
object such as {"token_ids": [1]}, or @ and the path of a file that holds one
    """
    variables = os.environ if environ is None else environ
    value = variables.get(PAYLOAD_VARIABLE, "").strip()
    if not value:
        return None
    lenient = _lenient(variables)
    try:
        return read_override(value)
    except SettingsError as error:
        if not lenient:
            raise
        _log.warning("%s; the default payload is used (%s is on)", error, LENIENT_VARIABLE)
        return None


def read_override(value: str) -> dict[str, Any]:
    """Read one payload, as `load_override` does, from the text of the variable.

    It is for who has that text from elsewhere: a flag or a settings file.
    """
    text = _file_text(value) if value.startswith("@") else value
    try:
        parsed: Any = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _bad(value, f"is not JSON ({excerpt(error, limit=120)})") from error
    if not isinstance(parsed, dict):
        raise _bad(value, f"holds {_JSON_NAMES[type(parsed)]}")
    return parsed


def _file_text(value: str) -> str:
    path = Path(value[1:])
    try:
        if not path.exists():
            raise _bad(value, "names a file that does not exist")
        if not path.is_file():  # a fifo would block the start, a device may never end
            raise _bad(value, "does not name a regular file")
        with path.open("rb") as file:
            raw = file.read(MAX_OVERRIDE_BYTES + 1)
    except OSError as error:
        raise _bad(value, f"cannot be read ({excerpt(error, limit=120)})") from error
    if len(raw) > MAX_OVERRIDE_BYTES:
        raise _bad(value, f"names a file larger than {MAX_OVERRIDE_BYTES} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad(value, "names a file that is not UTF-8 text") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _bad(value: str, problem: str) -> SettingsError:
    shown = excerpt(value, limit=80)
    return SettingsError(f"{PAYLOAD_VARIABLE}: {shown!r} {problem}; {_ACCEPTED}")


def _lenient(variables: Mapping[str, str]) -> bool:
    value = variables.get(LENIENT_VARIABLE, "").strip()
    if not value:
        return False
    try:
        return _TRUTH.read(value)
    except RefusedError as error:
        shown = excerpt(repr(value), limit=80)
        raise SettingsError(
            f"{LENIENT_VARIABLE}: {shown} is not accepted; accepted: {_TRUTH.accepted}"
        ) from error
