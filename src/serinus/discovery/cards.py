"""Model cards of the reference's workers: which model an instance serves, and as what.

Seen with Dynamo 1.6.1: a card stands under the key of its instance, in a bucket of its own; an
adapter's has one part more. No I/O.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from serinus.core.instance import Instance
from serinus.core.topology import Role
from serinus.discovery.records import MODELS, parse
from serinus.errors import DiscoveryError, excerpt

__all__ = ["SURFACES", "Card", "card_key_of", "read_card", "write_card"]

_PARTS = 4
"""Of an instance's name: namespace, component, endpoint, id."""


SURFACES = {"chat": "Chat", "completions": "Completions"}
"""Which requests of OpenAI's API a model takes: our word and the reference's."""


class Card(NamedTuple):
    """One model of one instance: `name` is the instance's, `ns/component/endpoint/1f`."""

    name: str
    namespace: str
    role: Role


def read_card(key: str, value: bytes) -> Card:
    """Read a card. Raises DiscoveryError that names the key and what is wrong with it."""
    try:
        return _read(key, parse(value))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        told = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DiscoveryError(f"model card {excerpt(key)!r}: {excerpt(told)}") from error


def card_key_of(instance: Instance) -> str:
    """Return where the card of an instance is announced."""
    return MODELS + instance.name


def write_card(instance: Instance, model: str, surface: str, *, worker_type: str) -> bytes:
    """Write the card of an instance that takes requests as OpenAI's API has them.

    The reference's frontend lists its model, and sends it what users sent, for which it needs no
    tokenizer. Seen with Dynamo 1.6.1, whose own workers write this for models without assets.
    """
    namespace, component, endpoint = instance.address
    record: dict[str, Any] = {
        "type": "Model",
        "namespace": namespace,
        "component": component,
        "endpoint": endpoint,
        "instance_id": instance.instance_id,
        "card_json": {
            "display_name": model,
            "slug": _slug(model),
            "source_path": model,
            "model_info": None,
            "tokenizer": None,
            "context_length": 0,
            "kv_cache_block_size": 0,
            "migration_limit": 0,
            "model_type": SURFACES[surface],
            "model_input": "Text",
            "worker_type": worker_type,
            "needs": [],
            "media_decoder": None,
            "media_fetcher": None,
        },
        "serinus": {"owner": instance.owner},
    }
    return json.dumps(record, separators=(",", ":")).encode()


def _slug(model: str) -> str:
    """Return a name in which only what is safe in a path is left."""
    return "".join(one if one.isascii() and one.isalnum() else "_" for one in model.lower())


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
