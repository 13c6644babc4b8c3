"""The marker of canaries, by which a handler can tell them from users' requests."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["HEALTH_CHECK_KEY", "is_health_check"]

HEALTH_CHECK_KEY = "_HEALTH_CHECK"
"""The key in a payload. Its value is exactly `True`."""


def is_health_check(request: object) -> bool:
    """Whether a request carries the marker; only the exact value `True` counts.

    >>> is_health_check({"token_ids": [1], "_HEALTH_CHECK": True})
    True
    >>> is_health_check({"_HEALTH_CHECK": "true"})
    False
    """
    return isinstance(request, Mapping) and request.get(HEALTH_CHECK_KEY) is True
