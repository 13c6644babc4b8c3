"""Text from outside, made fit to be shown: short, on one line, and without credentials."""

from __future__ import annotations

import re

from serinus.errors import excerpt

__all__ = ["quoted"]

_SECRETS = re.compile(
    r"(?i:bearer|basic)\s+[\w.~+/=-]{6,}"
    r"|\b(?:sk|pk|rk|hf|xai|gsk|nvapi|eyJ)[-_.]?[\w-]{8,}[\w.-]*"
    r"|(?i:(?:api[-_ ]?key|token|password|secret)[\"']?\s*[:=]\s*)[\"']?[\w.~+/=-]{6,}"
    r"|(?<=://)[^\s/@]+(?=@)"
)
_READ = 4096
"""How much of a text is looked at: far more than is ever shown."""


def quoted(text: object, *, limit: int = 160) -> str:
    """Return foreign text in quotes, cut short, with what looks like a credential left out.

    >>> quoted("Incorrect API key provided: sk-abcdefgh12345678")
    "'Incorrect API key provided: (left out)'"
    """
    line = _SECRETS.sub("(left out)", str(text)[:_READ])
    return repr(excerpt(line, limit=limit))
