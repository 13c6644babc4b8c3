"""Where a tokenizer keeps its beginning-of-sequence id. Looking never fails: the fallback is 1.

Engines move their tokenizers between releases, so every known place is tried in turn. What goes
wrong on the way is logged at debug level: a canary with token 1 still proves the engine.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Iterable
from typing import SupportsIndex

__all__ = ["FALLBACK_BOS", "bos_at", "bos_of", "bos_or_fallback"]

FALLBACK_BOS = 1
_MAX_WRAPPERS = 3

_log = logging.getLogger(__name__)


def bos_of(tokenizer: object) -> int | None:
    """Return the id of a tokenizer, or of the one it wraps as `.tokenizer`; None if it has none.

    >>> from types import SimpleNamespace as Tokenizer
    >>> bos_of(Tokenizer(tokenizer=Tokenizer(bos_token_id=2)))
    2
    """
    for _ in range(_MAX_WRAPPERS):
        if tokenizer is None:
            return None
        found = getattr(tokenizer, "bos_token_id", None)
        if isinstance(found, SupportsIndex) and not isinstance(found, bool):
            number = operator.index(found)
            return number if number >= 0 else None
        tokenizer = getattr(tokenizer, "tokenizer", None)
    return None


def bos_at(engine: object, places: Iterable[str]) -> int | None:
    """Return the id of the first tokenizer found at one of `places` (dotted paths) of an engine."""
    for place in places:
        try:
            found = bos_of(operator.attrgetter(place)(engine))
        except Exception:  # noqa: BLE001 - foreign properties raise what they like
            _log.debug("no tokenizer at %s of %s", place, type(engine).__name__, exc_info=True)
            continue
        if found is not None:
            return found
    return None


def bos_or_fallback(found: int | None, *, of: object) -> int:
    """Return `found`, or FALLBACK_BOS with a line in the debug log."""
    if found is not None:
        return found
    _log.debug("no BOS id found in %s; the canary uses %d", type(of).__name__, FALLBACK_BOS)
    return FALLBACK_BOS
