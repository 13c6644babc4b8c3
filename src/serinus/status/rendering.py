"""The states of endpoints as the JSON that the status port shows."""

from __future__ import annotations

import json
from collections.abc import Mapping

__all__ = ["endpoints_json"]


def endpoints_json(states: Mapping[str, str]) -> bytes:
    """Render names and their states as a JSON object, in the order given.

    >>> endpoints_json({"generate": "ready"})
    b'{"generate":"ready"}'
    """
    return json.dumps(dict(states), separators=(",", ":")).encode()
