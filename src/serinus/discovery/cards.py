"""Model cards of the reference's workers: which model an instance serves, and as what.

Seen with Dynamo 1.6.1: a card stands under the key of its instance, in a bucket of its own; an
adapter's has one part more. No I/O.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from serinus.core.topology import Role
from serinus.discovery.records import MODELS
from serinus.errors import DiscoveryError, excerpt

__all__ = ["Card", "read_card"]

_PARTS = 4
"""Of an instance's name: namespace, component, endpoint, id."""


class Card(NamedTuple):
    """One model of one instance: `name` is the instance's, `ns/component/endpoint/1f`."""

    name: str
    namespace: str
    role: Role


def read_card(key: str, value: bytes) -> Card:
    """Read a card. Raises DiscoveryError that names the key and what is wrong with it."""
    try:
        return _read(key, json.loads(value))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        told = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DiscoveryError(f"model card {excerpt(key)!r}: {excerpt(told)}") from error


def _read(key: str, record: Any) -> Card:
    parts = key.removeprefix(MODELS).split("/")
    if len(parts) < _PARTS:
        raise ValueError("the key has not the four parts of an instance")
    card = record["card_json"]
    model, kind, needs = card["display_name"], card.get("worker_type"), card.get("needs")
    if not isinstance(model, str) or not model:
        raise TypeError("display_name is no name of a model")
    role = Role(
        model,
        kind if isinstance(kind, str) else "",
        tuple(tuple(map(str, one)) for one in needs or () if one),
    )
    return Card("/".join(parts[:_PARTS]), parts[0], role)
