"""The record of an instance, in the reference's schema.

JSON with the reference's fields (seen with Dynamo 1.6.1), and one key of our own, `serinus`, which
it ignores. No I/O.
"""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from typing import Any

from serinus.core.address import EndpointAddress
from serinus.core.instance import Instance
from serinus.core.status import HealthStatus
from serinus.errors import DiscoveryError, SettingsError, excerpt

__all__ = [
    "INSTANCES",
    "MODELS",
    "RESTARTS",
    "WITHDRAWN",
    "decode",
    "encode",
    "key_of",
    "owner_of",
    "parse",
    "read",
    "withdrawn_key_of",
]

INSTANCES = "v1/instances/"
"""Where instances of endpoints are announced."""
MODELS = "v1/mdc/"
"""Where the reference's workers announce their model cards."""
WITHDRAWN = "v1/withdrawn/"
"""Where instances are that are not ready, and so have left `INSTANCES`, which routers read: the
same records under the same names. The reference does not look here."""
RESTARTS = "v1/restarts/"
"""Where instances that wish to be restarted take turns: `runtime/restarts.py`."""
_OWN = "serinus"
_LARGEST_ID = 2**64 - 1
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""How half of a character may be written that no text can have."""


def key_of(instance: Instance) -> str:
    """Return where an instance is announced.

    >>> address = EndpointAddress.parse("demo.backend.generate")
    >>> key_of(Instance(address, 31, {}))
    'v1/instances/demo/backend/generate/1f'
    """
    return INSTANCES + instance.name


def withdrawn_key_of(instance: Instance) -> str:
    """Return where an instance is announced while it is withdrawn."""
    return WITHDRAWN + instance.name


def encode(instance: Instance) -> bytes:
    """Write the record of an instance."""
    namespace, component, endpoint = instance.address
    record: dict[str, Any] = {
        "type": "Endpoint",
        "component": component,
        "endpoint": endpoint,
        "namespace": namespace,
        "instance_id": instance.instance_id,
        "transport": dict(instance.transport),
    }
    own: dict[str, Any] = dict(instance.facts)
    if instance.status is not None:
        own |= {"status": str(instance.status), "reason": instance.reason}
    own |= {name: said for name in ("since", "owner") if (said := getattr(instance, name))}
    if "tcp" in instance.transport:
        record["request_plane_codec"] = "json"
    if own:
        record[_OWN] = own
    return json.dumps(record, separators=(",", ":")).encode()


def decode(key: str, value: bytes) -> Instance:
    """Read the record of an instance: the reference's or one of ours.

    Raises DiscoveryError that names the key and what is wrong with it.
    """
    return read(key, value)[0]


def read(key: str, value: bytes) -> tuple[Instance, dict[str, Any]]:
    """Read the record of an instance; return the whole record, too, as it was written.

    Raises DiscoveryError, as `decode` does.
    """
    try:
        record = _object(parse(value))
        return _read(record), record
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        told = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DiscoveryError(f"record {excerpt(key)!r}: {excerpt(told)}") from error


def parse(value: bytes) -> Any:
    """Read JSON that can be written again: no NaN, no infinity, no half of a character.

    Raises ValueError or RecursionError.
    """
    found = _DECODE(value.decode())
    if _SURROGATE.search(value):
        json.dumps(found, ensure_ascii=False).encode()
    return found


def owner_of(value: bytes) -> str:
    """Return who announced a record; empty if it does not say, or is none of ours."""
    try:
        own = _object(parse(value)).get(_OWN)
    except (ValueError, TypeError, RecursionError):
        return ""
    return str(own.get("owner", "")) if isinstance(own, dict) else ""


def _read(record: dict[str, Any]) -> Instance:
    if record.get("type", "Endpoint") != "Endpoint":
        raise ValueError(f"is of the type {excerpt(record['type'], limit=40)}, and no Endpoint")
    address = _address(
        _text(record["namespace"]), _text(record["component"]), _text(record["endpoint"])
    )
    number = record["instance_id"]
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= _LARGEST_ID:
        raise ValueError(f"instance_id {excerpt(number, limit=40)} is no unsigned 64-bit number")
    own = _object(record.get(_OWN, {}))
    facts = dict(own)
    status = facts.pop("status", None)
    return Instance(
        address,
        number,
        {_text(kind): _text(place) for kind, place in _object(record["transport"]).items()},
        None if status is None else HealthStatus(status),
        reason=str(facts.pop("reason", "")),
        since=str(facts.pop("since", "")),
        owner=str(facts.pop("owner", "")),
        facts=facts,
    )


@lru_cache(maxsize=4096)
def _address(namespace: str, component: str, endpoint: str) -> EndpointAddress:
    """Check an address; there are many instances of each, and they share the one value."""
    try:
        return EndpointAddress.parse(f"{namespace}.{component}.{endpoint}")
    except SettingsError as error:
        raise ValueError(str(error)) from error


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"has {excerpt(text, limit=40)} where a finite number is expected")
    return number


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"is a {type(value).__name__} where an object is expected")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"has a {type(value).__name__} where a text is expected")
    return value


_DECODE = json.JSONDecoder(parse_float=_finite, parse_constant=_finite).decode
