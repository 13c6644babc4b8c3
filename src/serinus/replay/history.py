"""A trace, one target at a time: what was seen of it, and by which rules it was judged."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from serinus.core.address import EndpointAddress
from serinus.core.evidence import CanaryPassed, Evidence, Registered
from serinus.core.rules import Rules
from serinus.core.status import Reason
from serinus.core.verdict import Standing
from serinus.errors import SettingsError, TraceError
from serinus.traces.entries import Ruled, Seen, Trace

__all__ = ["TargetHistory", "histories_of", "unheard"]

_NOT_YET = frozenset(
    {
        Reason.UNPROVEN,
        Reason.PORT_CLOSED,
        Reason.UNRECOGNISED,
        Reason.NO_MODEL,
        Reason.FIRST_TOKEN,
    }
)


class TargetHistory(NamedTuple):
    """All that a trace has of one endpoint. Times are seconds since the trace's beginning."""

    address: EndpointAddress
    registered: Registered
    seen: tuple[Evidence, ...]
    """What was folded after the registration, in that order."""
    ruled: tuple[Ruled, ...]
    """The rules and since when they held, the first from the beginning."""

    def rules(self, at: float) -> Rules:
        """Return the rules that were in force at a time."""
        number = bisect_right(self.ruled, at, key=lambda one: one.at)
        return self.ruled[max(number - 1, 0)].rules

    @property
    def usual(self) -> float | None:
        """The median time of the canaries that passed, in seconds; None if there is none."""
        totals = sorted(one.total for one in self.seen if isinstance(one, CanaryPassed))
        return totals[len(totals) // 2] if totals else None

    def answerable_since(self, passed: CanaryPassed) -> float:
        """When the engine could answer: when the canary was sent, or later if that took long."""
        usual = passed.total if self.usual is None else self.usual
        return passed.at - min(passed.total, usual)

    def standings(self) -> Iterator[tuple[Evidence, Standing]]:
        """Judge again what was judged then: each piece of evidence, and the standing after it."""
        standing = Standing.of(self.registered)
        yield self.registered, standing
        at = self.registered.at
        for evidence in self.seen:
            at = max(at, evidence.at)
            standing = standing.after(evidence, self.rules(at))
            yield evidence, standing


def unheard(standing: Standing) -> bool:
    """Whether nothing speaks for or against an endpoint since it was registered.

    In the middle of a trace that is a new session: Serinus began again, and not the engine.
    """
    told = standing.proven_at is not None or standing.fault is not None
    return not told and standing.verdict.reason in _NOT_YET


def histories_of(trace: Trace) -> tuple[TargetHistory, ...]:
    """Sort the evidence of a trace by endpoint; custom checks are left out.

    Raises TraceError if there is no endpoint in it.
    """
    seen: dict[str, list[Evidence]] = {}
    ruled: dict[str, list[Ruled]] = {}
    for entry in trace.entries:
        if isinstance(entry, Seen):
            seen.setdefault(entry.target, []).append(entry.evidence)
        elif isinstance(entry, Ruled):
            ruled.setdefault(entry.target, []).append(entry)
    found = [
        TargetHistory(address, first, tuple(rest), tuple(ruled.get(name) or [_unruled(name)]))
        for name, (first, *rest) in seen.items()
        if (address := _address(name)) is not None and isinstance(first, Registered)
    ]
    if not found:
        raise TraceError("the trace has no evidence of any endpoint: there is nothing to replay")
    return tuple(found)


def _address(name: str) -> EndpointAddress | None:
    try:
        return EndpointAddress.parse(name)
    except SettingsError:
        return None


def _unruled(name: str) -> Ruled:
    return Ruled(0.0, name, Rules())
