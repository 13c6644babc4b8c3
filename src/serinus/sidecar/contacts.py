"""Is it our network? What is heard of all engines together, by whatever means they are spoken to.

One engine that is silent is accused. When all of several fall silent at the same moment, the common
cause is more likely on our side, and their silence is excused: for the `excuse_budget` where any of
them is on this machine (loopback does not break: it may be a common death), and for engines that
are all elsewhere until one is heard, with the verdict `blind` once the budget is over. A refused
connection is no silence: something answered, and an engine whose port is closed is dead.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections.abc import Callable

from serinus.core.evidence import CanaryFailed, CanaryFault
from serinus.core.own_state import Contact, Outage, lost_at_once
from serinus.sidecar.contact import Trouble
from serinus.sidecar.place import Place

__all__ = ["Contacts", "Line"]

logger = logging.getLogger("serinus")

_SILENT = frozenset({CanaryFault.TIMEOUT, CanaryFault.DROPPED, CanaryFault.REFUSED})
"""Faults that a network of ours can make; REFUSED is also said of what cannot be reached at all."""
_UNHEARD = frozenset({Trouble.SILENT, Trouble.UNREACHABLE, Trouble.UNRESOLVED, Trouble.OURS})


class Line:
    """What is heard of one engine. `local`: it is on this machine."""

    def __init__(self, contacts: Contacts, *, local: bool) -> None:
        self.local = local
        self.contact = Contact()
        self.wanted: Callable[[], None] = lambda: None
        """Called to have the engine spoken to soon, so that it is known whether it answers."""
        self._contacts = contacts

    def trying(self) -> None:
        """An attempt begins."""
        self.contact = self.contact.trying(self._contacts.clock())

    def answered(self) -> None:
        """Something came."""
        self.contact = self.contact.answered(self._contacts.clock())

    def failed(self, trouble: Trouble) -> None:
        """An attempt came to nothing: some of what can happen was said by the other side."""
        broken_network = trouble is Trouble.DROPPED and not self.local
        if trouble not in _UNHEARD and not broken_network:
            self.answered()

    def ask_others(self) -> None:
        """Have the others spoken to, for this engine has kept silent for a while."""
        self._contacts.ask_all_but(self)

    def excuse(self, failed: CanaryFailed) -> str:
        """Say why a failed canary may be our own network's fault; empty if it is the engine's."""
        outage = self._contacts.outage_since(failed.sent) if failed.fault in _SILENT else None
        return "" if outage is None else str(outage)

    def outage(self) -> Outage | None:
        """Return the outage that excuses silence now, if there is one."""
        return self._contacts.outage()


class Contacts:
    """All engines of one sidecar. `excuse` is the budget; `span` the seconds that a canary has."""

    def __init__(
        self,
        *,
        excuse: float,
        span: float,
        pace: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self._excuse = excuse
        self._span = span
        self._within = span + 2 * pace
        """All of them are tried within this, if one of them is silent."""
        self._lines: list[Line] = []
        self._told = float("-inf")

    def line(self, place: Place) -> Line:
        """Add an engine."""
        line = Line(self, local=_is_local(place.host))
        self._lines.append(line)
        return line

    def ask_all_but(self, silent: Line) -> None:
        """Have every other engine spoken to that is not being tried already."""
        for line in self._lines:
            if line is not silent and line.contact.unheard_since is None:
                line.wanted()

    def outage(self) -> Outage | None:
        """Return what excuses silence now: all engines were lost at once, and not for too long."""
        return self.outage_since(self.clock() - self._span)

    def outage_since(self, sent: float) -> Outage | None:
        """Return what excuses silence since `sent`."""
        now = self.clock()
        contacts = [line.contact for line in self._lines]
        outage = lost_at_once(contacts, now=now, sent=sent, within=self._within)
        if outage is None:
            return None
        if now - outage.since >= self._excuse and any(line.local for line in self._lines):
            return None
        if outage.since > self._told:
            self._told = outage.since + self._within
            logger.warning(
                "%s: it may be our own network, and nobody is accused for %g s",
                outage,
                self._excuse,
            )
        return outage


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
