"""What one prober finds of all instances from outside, as the others read it. No I/O.

Only what is amiss has an entry, so that a fleet in good health costs its store nothing: a finding
under the name of each instance that cannot be reached, and one account of the prober's own work.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from serinus.discovery.records import parse
from serinus.errors import DiscoveryError, excerpt

__all__ = [
    "ACCOUNT",
    "FINDINGS",
    "PROBER",
    "Account",
    "Finding",
    "encode_any",
    "read_account",
    "read_finding",
]

PROBER = "v1/leaders/prober"
"""The key that the one prober holds."""
FINDINGS = "v1/outside/"
"""Where findings are, each under its instance's name."""
ACCOUNT = "v1/prober/account"
"""Where the prober says what it does."""


class Finding(NamedTuple):
    """An instance as somebody else sees it."""

    reachable: bool
    reason: str = ""
    since: str = ""
    """When that was first seen, by the prober's clock (RFC 3339): for people alone."""
    by: str = ""
    eject: bool = True
    """Whether clients are to keep away from it while it is unreachable."""


class Account(NamedTuple):
    """What a prober has done so far. Counts are of this prober's time in office."""

    by: str
    probes: int
    failed: int
    unreachable: int
    skipped: int
    """Instances that no kind of probe is known for."""
    interval: float
    """Seconds between two probes of one instance."""


def encode_any(value: Finding | Account) -> bytes:
    """Write a finding or an account."""
    return json.dumps(value._asdict(), separators=(",", ":")).encode()


def read_finding(key: str, value: bytes) -> Finding:
    """Read a finding. Raises DiscoveryError that names the key and what is wrong with it."""
    record = _object(key, value)
    if not isinstance(record.get("reachable"), bool):
        raise DiscoveryError(f"finding {excerpt(key)!r}: does not say whether it is reachable")
    return Finding(
        record["reachable"],
        str(record.get("reason", "")),
        str(record.get("since", "")),
        str(record.get("by", "")),
        bool(record.get("eject", True)),
    )


def read_account(value: bytes) -> Account:
    """Read an account. Raises DiscoveryError if it is none."""
    record = _object(ACCOUNT, value)
    try:
        return Account(
            str(record["by"]),
            int(record["probes"]),
            int(record["failed"]),
            int(record["unreachable"]),
            int(record["skipped"]),
            float(record["interval"]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DiscoveryError(f"the prober's account: {excerpt(error)}") from error


def _object(key: str, value: bytes) -> dict[str, Any]:
    try:
        record = parse(value)
    except (ValueError, RecursionError) as error:
        raise DiscoveryError(f"finding {excerpt(key)!r}: {excerpt(error)}") from error
    if not isinstance(record, dict):
        raise DiscoveryError(f"finding {excerpt(key)!r}: is no object")
    return record
