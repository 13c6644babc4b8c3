"""The leases that run: who took them, for what, and when they end.

A lease is a planned pause with a bound (weight update, compile, profiling). It makes silence count
for nothing while it runs; what that means for a verdict is the judge's business. One that its owner
neither renews nor releases runs out by itself, and that is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from serinus.core.evidence import Lease
from serinus.core.report import LeaseReport
from serinus.errors import LifecycleError, SettingsError, excerpt

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["LeaseGrant", "Leases"]

_MOST = 256
"""Leases at once."""
_NEVER = float("-inf")


class LeaseGrant:
    """A lease as its holder has it: runs from `Runtime.lease` on, until it is released or runs out.

    A context manager, `with` or `async with`, whose end releases it. `endpoint` is the one that it
    is for, empty for all of the process; `by` is who took it.
    """

    __slots__ = ("_leases", "by", "endpoint", "released", "until", "why")

    def __init__(self, leases: Leases, why: str, until: float, endpoint: str, by: str) -> None:
        self._leases = leases
        self.why = why
        self.until = until
        """When it ends, in seconds of the runtime's clock."""
        self.endpoint = endpoint
        self.by = by
        self.released = False

    def renew(self, seconds: float) -> None:
        """Let it last for `seconds` from now on; one that has run out begins again.

        Raises SettingsError beyond `lease_max`, LifecycleError once it was released.
        """
        self._leases.renew(self, seconds)

    def release(self) -> None:
        """End it; twice is once."""
        self._leases.release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class Leases:
    """All leases of a process. Every method is called on the event loop.

    `changed(endpoint)` is called when the leases of an endpoint may last longer or shorter, or with
    an empty text when those of all do; `noted(lease, before, after, reason, detail)` when one
    begins or ends.
    """

    def __init__(
        self,
        *,
        most: float,
        clock: Callable[[], float],
        changed: Callable[[str], None],
        noted: Callable[[str, str, str, str, str], None],
    ) -> None:
        self.most = most
        self.ran_out = 0
        """Leases that ended because nobody renewed or released them."""
        self._clock = clock
        self._changed = changed
        self._noted = noted
        self._running: list[LeaseGrant] = []
        self._timer: asyncio.TimerHandle | None = None

    def take(
        self, why: str, *, seconds: float, endpoint: str = "", by: str = "owner"
    ) -> LeaseGrant:
        """Begin a lease.

        Raises SettingsError for a length that is not accepted, LifecycleError if 256 run already.
        """
        self._check(why, seconds)
        if len(self._running) >= _MOST:
            raise LifecycleError(f"lease {why!r}: {_MOST} leases run already; release some of them")
        now = self._clock()
        grant = LeaseGrant(self, why, now + seconds, endpoint, by)
        self._running.append(grant)
        told = f"{why}, for {seconds:g} s{_scope(endpoint)}, taken by {by}"
        self._noted(_subject(grant), "none", "running", "taken", told)
        self._turned(endpoint)
        return grant

    def renew(self, grant: LeaseGrant, seconds: float) -> None:
        """Let a lease last for `seconds` from now on (see LeaseGrant.renew)."""
        self._check(grant.why, seconds)
        if grant.released:
            raise LifecycleError(f"lease {grant.why!r} was released; take another one")
        grant.until = self._clock() + seconds
        if grant not in self._running:
            if len(self._running) >= _MOST:
                raise LifecycleError(f"lease {grant.why!r}: {_MOST} leases run already")
            self._running.append(grant)
            told = f"{grant.why}, for {seconds:g} s, after it had run out"
            self._noted(_subject(grant), "none", "running", "renewed", told)
        self._turned(grant.endpoint)

    def release(self, grant: LeaseGrant) -> None:
        """End a lease; twice is once."""
        if grant.released:
            return
        grant.released = True
        if grant in self._running:
            self._running.remove(grant)
            told = f"{grant.why}, {max(grant.until - self._clock(), 0.0):.1f} s before its end"
            self._noted(_subject(grant), "running", "none", "released", told)
            self._turned(grant.endpoint)

    def close(self) -> None:
        """Watch no more ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def until(self) -> float:
        """When the last lease of the whole process ends; minus infinity when none runs."""
        return max((one.until for one in self._of("")), default=_NEVER)

    def until_of(self, endpoint: str) -> float:
        """When the last lease that covers an endpoint ends; minus infinity when none does."""
        return max((one.until for one in self._of(endpoint)), default=_NEVER)

    def evidence(self, endpoint: str, now: float) -> Lease | None:
        """Return what the leases that cover an endpoint come to; None when none does."""
        running = [one for one in self._of(endpoint) if one.until > now]
        if not running:
            return None
        why = "; ".join(one.why for one in running)
        return Lease(now, max(one.until for one in running), excerpt(why, limit=200))

    def report(self) -> tuple[LeaseReport, ...]:
        """Return those that run now, in the order in which they were taken."""
        now = self._clock()
        return tuple(
            LeaseReport(one.why, one.until, one.endpoint, one.by)
            for one in self._running
            if one.until > now
        )

    def _of(self, endpoint: str) -> list[LeaseGrant]:
        return [one for one in self._running if one.endpoint in {"", endpoint}]

    def _check(self, why: str, seconds: float) -> None:
        given: object = seconds
        number = isinstance(given, int | float) and not isinstance(given, bool)
        if not (number and 0 < seconds <= self.most):
            raise SettingsError(
                f"lease {why!r}: {seconds!r} s; accepted: more than 0 and at most "
                f"{self.most:g} s (lease_max)"
            )

    def _turned(self, endpoint: str) -> None:
        self._await_end()
        self._changed(endpoint)

    def _await_end(self) -> None:
        """Look again when the next one runs out."""
        self.close()
        if self._running:
            first = min(one.until for one in self._running)
            delay = max(first - self._clock(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(delay, self._look)

    def _look(self) -> None:
        """Let go of those that have run out."""
        now = self._clock()
        over = [one for one in self._running if one.until <= now]
        self._running = [one for one in self._running if one.until > now]
        for grant in over:
            self.ran_out += 1
            told = (
                f"nobody has renewed or released it{_scope(grant.endpoint)}: silence counts again"
            )
            self._noted(_subject(grant), "running", "none", "ran_out", told)
        self._await_end()
        for endpoint in {grant.endpoint for grant in over}:
            self._changed(endpoint)


def _subject(grant: LeaseGrant) -> str:
    return f"lease {excerpt(grant.why, limit=60)}"


def _scope(endpoint: str) -> str:
    return f" of {endpoint}" if endpoint else ""
