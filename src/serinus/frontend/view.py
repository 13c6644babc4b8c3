"""The view: what discovery says of the fleet, folded as it comes.

It decodes, counts what cannot be read, and tells followers which parts changed. It renders nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, islice
from typing import Any, NamedTuple

from serinus.core.address import EndpointAddress
from serinus.core.fleet import Fleet, FleetRules
from serinus.core.instance import Instance
from serinus.core.stage import FrontendHealth, Knowledge, frontend_health, missing_of
from serinus.discovery import Change, Discovery, Mirror
from serinus.discovery.cards import Card, read_card
from serinus.discovery.findings import (
    ACCOUNT,
    FINDINGS,
    PROBER,
    Account,
    Finding,
    read_account,
    read_finding,
)
from serinus.discovery.records import INSTANCES, MODELS, WITHDRAWN, decode, parse, read
from serinus.errors import DiscoveryError, excerpt
from serinus.frontend.listing import Listing
from serinus.settings import Settings

__all__ = ["Amiss", "View"]

logger = logging.getLogger("serinus")

_PUBLIC = (
    "component",
    "endpoint",
    "namespace",
    "instance_id",
    "transport",
    "device_type",
    "request_plane_codec",
)
"""The fields of a record that anybody may see: those that the reference shows."""
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode
_SLICE = 500
"""Changes that are taken in at once: some 20 ms."""
_NAMED = 100
"""Foreign records that are remembered by name; more are counted."""


class Amiss(NamedTuple):
    """Why an instance is not ready, as it says or others see."""

    reason: str
    since: str


class View:
    """The fleet as this process sees it. Instances go by their names, `ns/component/endpoint/1f`.

    Instances that are withdrawn, as they are not ready, are counted and not listed.
    """

    def __init__(
        self,
        discovery: Discovery,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.discovery = discovery
        self.fleet = Fleet(
            FleetRules(
                minimum=settings.fleet_minimum_share,
                panic=settings.fleet_panic_threshold,
                eject=settings.outside_policy == "eject",
            )
        )
        self.listing = Listing()
        self.endpoints: Counter[str] = Counter()
        """How many instances of each endpoint are listed, by its `dyn://` address."""
        self.endpoints_changed = 0
        """How often that set of endpoints was another one."""
        self.amiss: dict[str, Amiss] = {}
        """What is not ready in its own eyes."""
        self.changes = 0
        """Records that came, changed or went, since the start."""
        self.leader = ""
        """Who probes from outside; empty if nobody does."""
        self.account: Account | None = None
        self.account_at: float | None = None
        """When the prober was last heard of, by the clock."""
        self.draining = False
        self._settings = settings
        self._clock = clock
        self._reached = False
        self._foreign: set[str] = set()
        self._foreign_named: dict[str, str] = {}
        self._foreign_seen = 0
        self._cards: dict[str, Card] = {}
        self._findings: dict[str, dict[str, Finding]] = {}
        """By instance, then by who found it."""
        self._orphans: dict[str, tuple[Finding, float]] = {}
        """Findings whose prober went, and until when they are believed."""
        self._told: list[Callable[[frozenset[str]], None]] = []
        self._ends: list[Callable[[], None]] = []
        self._complete = False
        """Whether everything was listed and taken in once."""
        self._backlog: deque[tuple[Callable[[list[Change]], None], list[Change]]] = deque()
        self._catching_up: asyncio.Task[None] | None = None
        self._listed: Mirror | None = None
        self._withdrawn: Mirror | None = None
        self._based_on: list[Mirror] = []

    # --- following ---------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to follow discovery, which is entered."""
        self._withdrawn = self.discovery.mirror(WITHDRAWN)
        self._listed = self.discovery.mirror(INSTANCES)
        cards = self.discovery.mirror(MODELS)
        self._based_on = [self._listed, self._withdrawn, cards]
        self._follow(WITHDRAWN, self._of_withdrawn)
        self._follow(INSTANCES, self._of_instances)
        self._follow(MODELS, self._of_cards)
        self._follow(FINDINGS, self._of_findings)
        self._follow(PROBER, self._of_leader)
        self._follow(ACCOUNT, self._of_account)

    def close(self) -> None:
        """Follow no more."""
        for end in self._ends:
            end()
        self._ends.clear()
        self._backlog.clear()
        if self._catching_up is not None:
            self._catching_up.cancel()

    def tell(self, follower: Callable[[frozenset[str]], None]) -> None:
        """Have a follower told which instances changed; none: something else did."""
        self._told.append(follower)

    def _follow(self, prefix: str, take: Callable[[list[Change]], None]) -> Mirror:
        mirror = self.discovery.mirror(prefix)

        def follow(changes: list[Change]) -> None:
            self._take_in_turn(take, changes)

        follow([Change(key, value) for key, value in mirror.entries.items()])
        self._ends.append(mirror.follow(follow))
        return mirror

    def _take_in_turn(self, take: Callable[[list[Change]], None], changes: list[Change]) -> None:
        """Take changes now; or, of very many, some at a time, so that others have their turn."""
        if not self._backlog and len(changes) <= _SLICE:
            take(changes)
            return
        for first in range(0, max(len(changes), 1), _SLICE):
            self._backlog.append((take, changes[first : first + _SLICE]))
        if self._catching_up is None:
            self._catching_up = asyncio.create_task(self._catch_up(), name="frontend catches up")
            self._catching_up.add_done_callback(_report)

    async def _catch_up(self) -> None:
        try:
            while self._backlog:
                take, changes = self._backlog[0]
                try:
                    take(changes)
                except Exception:
                    logger.exception("frontend: changes were left out by a mistake of our own")
                self._backlog.popleft()
                await asyncio.sleep(0)
        finally:
            self._catching_up = None
        self._tell(frozenset())

    # --- what is so --------------------------------------------------------------------------

    @property
    def knowledge(self) -> Knowledge:
        """What this view rests on."""
        self._reached = self._reached or self.discovery.connected
        listed = bool(self._based_on) and all(mirror.complete for mirror in self._based_on)
        self._complete = self._complete or (listed and not self._backlog)
        complete = self._complete
        ages = [age for mirror in self._based_on if (age := mirror.age) is not None]
        return Knowledge(self._reached, complete, max(ages, default=None), self.draining)

    @property
    def health(self) -> FrontendHealth:
        """Whether this frontend is ready."""
        return frontend_health(
            self.knowledge,
            missing_of(self._settings.frontend_requires, self.fleet),
            stale_after=self._settings.fleet_stale_after,
            stale_is_ready=self._settings.fleet_stale_policy == "report",
        )

    @property
    def names(self) -> Iterable[str]:
        """The names of all instances that are listed."""
        return self.listing

    @property
    def foreign(self) -> dict[str, str]:
        """Records that cannot be read, by key, and what the backend left out, and why: some."""
        found = chain(self._foreign_named.items(), self.discovery.backend.foreign.now.items())
        return dict(islice(found, _NAMED))

    @property
    def foreign_now(self) -> int:
        """How many of them there are."""
        return len(self._foreign) + len(self.discovery.backend.foreign.now)

    @property
    def foreign_total(self) -> int:
        """How often one was found."""
        return self._foreign_seen + self.discovery.backend.foreign.seen

    def instance(self, name: str) -> Instance | None:
        """Return an instance that is listed, read anew; None if there is none."""
        if self._listed is None or name not in self.listing:
            return None
        value = self._listed.entries.get(INSTANCES + name)
        return None if value is None else decode(INSTANCES + name, value)

    def finding(self, key: str) -> Finding | None:
        """Return what was found of an instance from outside; None: nothing amiss is known."""
        found = self._findings.get(key)
        if found:
            if self.leader in found:
                return found[self.leader]
            return next((one for one in found.values() if not one.reachable), None)
        orphan = self._orphans.get(key)
        return None if orphan is None else orphan[0]

    def unreachable(self, most: int | None = None) -> dict[str, Finding]:
        """Return what is unreachable from outside: all of it, or some at the most."""
        orphans = (name for name in self._orphans if name not in self._findings)
        found = ((name, self.finding(name)) for name in chain(self._findings, orphans))
        amiss = ((name, one) for name, one in found if one is not None and not one.reachable)
        return dict(islice(amiss, most))

    def prober(self) -> dict[str, Any]:
        """Return who probes from outside, and what it last said of its work."""
        heard = None if self.account_at is None else max(self._clock() - self.account_at, 0.0)
        account = None if self.account is None else self.account._asdict()
        return {"leader": self.leader or None, "account": account, "heard_seconds_ago": heard}

    # --- what comes --------------------------------------------------------------------------

    def _of_instances(self, changes: list[Change]) -> None:
        withdrawn = {} if self._withdrawn is None else self._withdrawn.entries
        changed = set()
        for key, value in changes:
            name = key.removeprefix(INSTANCES)
            changed.add(name)
            if WITHDRAWN + name in withdrawn:  # its own word that it is not ready goes before
                self._forget(key)
            else:
                self._take(key, name, value, listed=True)
        self.changes += len(changes)
        self._tell(frozenset(changed))

    def _of_withdrawn(self, changes: list[Change]) -> None:
        listed = {} if self._listed is None else self._listed.entries
        changed = set()
        for key, value in changes:
            name = key.removeprefix(WITHDRAWN)
            changed.add(name)
            self._take(key, name, value, listed=False)
            if value is None and (there := listed.get(INSTANCES + name)) is not None:
                self._take(INSTANCES + name, name, there, listed=True)
        self.changes += len(changes)
        self._tell(frozenset(changed))

    def _take(self, key: str, name: str, value: bytes | None, *, listed: bool) -> None:
        self._forget(key)
        if value is None:
            self._gone(name)
            return
        try:
            instance, record = _read(key, name, value)
        except DiscoveryError as error:
            self._gone(name)
            self._skip(key, error)
            return
        self.fleet.put(name, instance)
        if instance.ready:
            self.amiss.pop(name, None)
        else:
            self.amiss[name] = Amiss(excerpt(instance.reason), excerpt(instance.since, limit=40))
        if not listed:
            self._unlist(name)
            return
        if name not in self.listing:
            self._count(instance.address, +1)
        self.listing.put(name, _fragment(instance, record))

    def _gone(self, name: str) -> None:
        self.fleet.remove(name)
        self.amiss.pop(name, None)
        self._unlist(name)
        if self._orphans.pop(name, None) is not None:
            self._see(name)

    def _unlist(self, name: str) -> None:
        if name in self.listing:
            self.listing.remove(name)
            self._count(EndpointAddress(*name.split("/")[:3]), -1)

    def _count(self, address: EndpointAddress, by: int) -> None:
        url = address.url
        self.endpoints[url] += by
        if not self.endpoints[url]:
            del self.endpoints[url]
            self.endpoints_changed += 1
        elif by > 0 and self.endpoints[url] == 1:
            self.endpoints_changed += 1

    def _of_cards(self, changes: list[Change]) -> None:
        for key, value in changes:
            self._forget(key)
            card = self._cards.pop(key, None)
            if card is not None:
                self.fleet.remove_card(card.name, key)
            if value is None:
                continue
            try:
                card = read_card(key, value)
            except DiscoveryError as error:
                self._skip(key, error)
                continue
            self._cards[key] = card
            self.fleet.put_card(card.name, key, card.namespace, card.role)
        self.changes += len(changes)
        self._tell(frozenset())

    def _of_findings(self, changes: list[Change]) -> None:
        seen = set()
        for key, value in changes:
            self._forget(key)
            instance, _, by = key.removeprefix(FINDINGS).rpartition("/")
            seen.add(instance)
            found = self._findings.setdefault(instance, {})
            before = found.pop(by, None)
            if value is not None:
                try:
                    found[by] = read_finding(key, value)
                    self._orphans.pop(instance, None)
                except DiscoveryError as error:
                    self._skip(key, error)
            elif before is not None and not before.reachable:  # no prober takes that back itself
                self._orphan(instance, before)
            if not found:
                del self._findings[instance]
        for instance in seen:
            self._see(instance)
        self._tell(frozenset(seen))

    def _orphan(self, instance: str, finding: Finding) -> None:
        """Keep a finding whose prober went, until the next one has looked for itself."""
        if instance not in self.listing:
            return
        span = 2 * self.discovery.lease + 2 * self._settings.outside_interval
        self._orphans[instance] = (finding, self._clock() + span)

    def drop_orphans(self) -> None:
        """Drop findings that no prober has taken over in time."""
        now = self._clock()
        due = [key for key, (_, until) in self._orphans.items() if until <= now]
        for key in due:
            del self._orphans[key]
            self._see(key)
        if due:
            self._tell(frozenset(due))

    def _see(self, key: str) -> None:
        finding = self.finding(key)
        self.fleet.see(key, reachable=finding is None or finding.reachable)

    def _of_leader(self, changes: list[Change]) -> None:
        for key, value in changes:
            if key == PROBER:
                self.leader = "" if value is None else _by(value)
        for key in tuple(self._findings):
            self._see(key)
        self._tell(frozenset())

    def _of_account(self, changes: list[Change]) -> None:
        for key, value in changes:
            if not key.startswith(ACCOUNT):
                continue
            if value is None:
                continue
            try:
                account = read_account(value)
            except DiscoveryError as error:
                self._skip(key, error)
                continue
            self.account, self.account_at = account, self._clock()
        self._tell(frozenset())

    def _skip(self, key: str, error: DiscoveryError) -> None:
        if len(self._foreign_named) < _NAMED:
            self._foreign_named[key] = str(error)
        self._foreign.add(key)
        self._foreign_seen += 1
        logger.warning("skipped: %s", error)

    def _forget(self, key: str) -> None:
        if key in self._foreign:
            self._foreign.discard(key)
            self._foreign_named.pop(key, None)

    def _tell(self, keys: frozenset[str]) -> None:
        for follower in tuple(self._told):
            follower(keys)


def _read(key: str, name: str, value: bytes) -> tuple[Instance, dict[str, Any]]:
    instance, record = read(key, value)
    if instance.name != name:
        raise DiscoveryError(f"record {excerpt(key)!r}: is of {excerpt(instance.name)}")
    return instance, record


def _fragment(instance: Instance, record: Mapping[str, Any]) -> bytes:
    shown = {name: record[name] for name in _PUBLIC if name in record}
    if instance.status is not None:
        shown["status"] = str(instance.status)
    return _ENCODE(shown).encode()


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("%s failed", task.get_name(), exc_info=error)


def _by(value: bytes) -> str:
    try:
        told = parse(value)
    except (ValueError, RecursionError):
        return ""
    return excerpt(told.get("by", ""), limit=100) if isinstance(told, dict) else ""
