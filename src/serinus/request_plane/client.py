"""`Client`: sends requests to those instances of an endpoint that are ready, and tries elsewhere.

It follows discovery, so that an instance that turns not ready, or goes, gets no request from the
moment on that its record says so. Until the first item has come a request that fails is sent to
another instance; after that never, as half of an answer cannot be taken back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from random import Random
from types import TracebackType
from typing import Any, Protocol, Self, TypeAlias
from uuid import uuid4

from serinus.core.address import EndpointAddress
from serinus.core.instance import Instance
from serinus.discovery import Change, Discovery
from serinus.discovery.findings import FINDINGS, read_finding
from serinus.discovery.records import INSTANCES, decode
from serinus.errors import DiscoveryError, LifecycleError, RequestError, SettingsError
from serinus.request_plane.ejection import EjectionRules, Ejections, Split
from serinus.request_plane.faults import Fault
from serinus.request_plane.routing import Policy, choose

__all__ = ["Answer", "Caller", "Client"]

logger = logging.getLogger("serinus")


_GOING = (Fault.UNAVAILABLE, Fault.TRANSPORT)
"""Faults of an instance that drains, or died: another one may be on its way."""
_Tried: TypeAlias = "dict[tuple[int, str], RequestError]"
"""What came of the instances that were tried, by their ids and owners: a restart is another."""


class Caller(Protocol):
    """Calls one instance by one kind of transport."""

    def call(
        self, place: str, request: Any, *, request_id: str, seconds: float | None = None
    ) -> AsyncGenerator[Any, None]:
        """Yield the items of an answer. Raises RequestError."""

    async def close(self) -> None:
        """Close every connection."""


class Client:
    """Calls one endpoint. An async context manager; closing ends the requests under way.

    `callers` make what calls by each kind of transport, the preferred first; they are made when
    first used. `tries` is how many instances one request is sent to at the most, `patience` how
    many seconds it waits for one that may be used.
    """

    def __init__(
        self,
        address: EndpointAddress,
        discovery: Discovery,
        callers: Mapping[str, Callable[[], Caller]],
        *,
        rules: EjectionRules | None = None,
        tries: int = 4,
        patience: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        seed: int | None = None,
    ) -> None:
        if tries < 1 or patience < 0:
            raise SettingsError(
                f"tries {tries!r}, patience {patience!r}; accepted: at least 1 try, and seconds"
            )
        self.address = address
        self.foreign: dict[str, str] = {}
        """Records that cannot be read, by key, and why: they are skipped."""
        self.panic = False
        """Whether so many instances fail that none is left out."""
        self.ejections = Ejections(rules or EjectionRules())
        self.in_flight: Counter[int] = Counter()
        self.sent: Counter[int] = Counter()
        """Requests that were sent to each instance."""
        self.failed_over = 0
        self._discovery = discovery
        self._make = callers
        self._callers: dict[str, Caller] = {}
        self._tries = tries
        self._patience = patience
        self._clock = clock
        self._random = Random(seed)
        self._instances: dict[str, Instance] = {}
        self._usable: dict[int, Instance] = {}
        """Those that may be sent requests, by id and in the order of ids."""
        self._last: int | None = None
        self._news = asyncio.Event()
        self._answers: set[Answer] = set()
        self._unreachable: dict[str, int] = {}
        """By the key of the finding, the id of what a prober calls unreachable."""
        self._entered = False
        self._unfollow: Callable[[], None] | None = None
        self._unfollow_findings: Callable[[], None] | None = None

    async def __aenter__(self) -> Self:
        if self._entered:
            raise LifecycleError("a Client is entered once; make another one")
        self._entered = True
        mirror = self._discovery.mirror(f"{INSTANCES}{'/'.join(self.address)}/")
        self._changed([Change(key, value) for key, value in mirror.entries.items()])
        self._unfollow = mirror.follow(self._changed)
        findings = self._discovery.mirror(f"{FINDINGS}{'/'.join(self.address)}/")
        self._found([Change(key, value) for key, value in findings.entries.items()])
        self._unfollow_findings = findings.follow(self._found)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for unfollow in (self._unfollow, self._unfollow_findings):
            if unfollow is not None:
                unfollow()
        self._unfollow = self._unfollow_findings = None
        for answer in tuple(self._answers):
            with contextlib.suppress(
                RuntimeError
            ):  # another task reads it: its caller's end is its
                await answer.aclose()
        for caller in self._callers.values():
            await caller.close()

    # --- who is there ------------------------------------------------------------------------

    def instances(self) -> list[Instance]:
        """Return all instances that are listed, ready or not, by id."""
        return sorted(self._instances.values(), key=lambda one: one.instance_id)

    def instance_ids(self) -> list[int]:
        """Return the ids of those that may be sent requests, ejected ones among them."""
        return list(self._usable)

    def ejected(self) -> tuple[int, ...]:
        """Return the ids of those that are left out now."""
        return self._split().ejected

    async def wait_for_instances(self, count: int = 1) -> list[int]:
        """Wait until so many may be sent requests; return their ids."""
        while len(ids := self.instance_ids()) < count:
            self._news.clear()
            await self._news.wait()
        return ids

    # --- requests ----------------------------------------------------------------------------

    async def generate(
        self,
        request: Any,
        *,
        policy: Policy | str = Policy.LEAST_LOADED,
        request_id: str | None = None,
        deadline: float | None = None,
    ) -> Answer:
        """Send a request to an instance that the policy chooses; return its answer once it begins.

        `deadline` is in seconds, for the whole answer; past it the handler is cancelled.
        Raises RequestError when no instance brought a first item, SettingsError for another policy.
        """
        try:
            policy = Policy(policy)
        except ValueError:
            known = ", ".join(Policy)
            raise SettingsError(f"policy {policy!r}; accepted: {known}") from None
        return await self._send(request, policy, None, request_id, deadline)

    async def round_robin(
        self, request: Any, *, request_id: str | None = None, deadline: float | None = None
    ) -> Answer:
        """Send a request to the next instance; the rest as `generate`."""
        return await self._send(request, Policy.ROUND_ROBIN, None, request_id, deadline)

    async def random(
        self, request: Any, *, request_id: str | None = None, deadline: float | None = None
    ) -> Answer:
        """Send a request to any instance; the rest as `generate`."""
        return await self._send(request, Policy.RANDOM, None, request_id, deadline)

    async def least_loaded(
        self, request: Any, *, request_id: str | None = None, deadline: float | None = None
    ) -> Answer:
        """Send a request to the instance with the fewest of ours in flight; as `generate`."""
        return await self._send(request, Policy.LEAST_LOADED, None, request_id, deadline)

    async def direct(
        self,
        request: Any,
        instance_id: int,
        *,
        request_id: str | None = None,
        deadline: float | None = None,
    ) -> Answer:
        """Send a request to one instance and no other, ejected or not; the rest as `generate`.

        Raises RequestError if it is not listed or not ready.
        """
        return await self._send(request, Policy.RANDOM, instance_id, request_id, deadline)

    async def _send(
        self,
        request: Any,
        policy: Policy,
        only: int | None,
        request_id: str | None,
        deadline: float | None,
    ) -> Answer:
        if self._unfollow is None:
            raise LifecycleError("a Client is used inside 'async with'")
        if deadline is not None and not deadline > 0:
            raise SettingsError(f"deadline {deadline!r}; accepted: seconds greater than 0")
        until = None if deadline is None else self._clock() + deadline
        tried: _Tried = {}
        name = request_id or str(uuid4())
        while True:
            instance = await self._next(policy, only, tried, until)
            if tried:
                self.failed_over += 1
                logger.info(
                    "%s: %s: %s instead", self.address, list(tried.values())[-1], instance.name
                )
            answer = Answer(self, instance, until)
            try:
                await answer.begin(request, name)
            except RequestError as error:
                tried[instance.instance_id, instance.owner] = error
                late = until is not None and self._clock() >= until
                if only is not None or late or len(tried) >= self._tries or not _elsewhere(error):
                    raise
            else:
                return answer

    async def _next(
        self,
        policy: Policy,
        only: int | None,
        tried: _Tried,
        until: float | None,
    ) -> Instance:
        """Return the instance that is next; wait for one if there is none yet.

        Where those that are gone or going are all that there was, too: others may take their place.
        """
        last = list(tried.values())[-1] if tried else None
        patience = self._clock() + self._patience
        if until is not None:
            patience = min(patience, until)
        while True:
            if (instance := self._choose(policy, only, tried)) is not None:
                return instance
            if last is not None and last.fault not in _GOING:
                raise last
            self._news.clear()
            try:
                async with asyncio.timeout(max(patience - self._clock(), 0)):
                    await self._news.wait()
            except TimeoutError:
                if last is not None:  # it tells more than that there is nobody else
                    raise last from None
                raise RequestError(self._nobody(only), fault=Fault.UNAVAILABLE) from None

    def _choose(self, policy: Policy, only: int | None, tried: _Tried) -> Instance | None:
        usable = self._usable if only is not None else self._split().usable
        new = (one for one in usable if (one, self._usable[one].owner) not in tried)
        ids = [one for one in new if only in (None, one)]
        chosen = choose(
            policy, ids, last=self._last, draw=self._random.random(), loads=self.in_flight
        )
        if chosen is None:
            return None
        self._last = chosen
        return self._usable[chosen]

    def _nobody(self, only: int | None) -> str:
        if only is not None:
            return f"{self.address}: instance {only:x} is not listed as ready"
        listed = len(self._instances)
        view = f"; discovery: {self._discovery.trouble}" if self._discovery.trouble else ""
        return f"{self.address}: no instance is ready ({listed} listed){view}"

    # --- what is learned ---------------------------------------------------------------------

    def told(self, instance: Instance, fault: Fault | None) -> None:
        """Take in how a request to an instance went: for its answer."""
        before = self.ejected()
        self.ejections = self.ejections.after(instance.instance_id, fault, self._clock())
        split = self._split()
        for one in set(split.ejected) - set(before):
            span = self.ejections.marks[one].until - self._clock()
            logger.warning("%s: %x is left out for %.1f s (%s)", self.address, one, span, fault)
        if split.panic != self.panic:
            self.panic = split.panic
            told = "too many instances fail: none is left out" if split.panic else "over"
            logger.warning("%s: panic: %s", self.address, told)

    def _split(self) -> Split:
        return self.ejections.split(self._reachable(), self._clock())

    def _reachable(self) -> Collection[int]:
        """Return who may be sent requests but for what a prober calls unreachable.

        If too few would be left, it is more likely the prober that is cut off: all are.
        """
        if not self._unreachable:
            return self._usable
        out = set(self._unreachable.values())
        left = [one for one in self._usable if one not in out]
        return left if len(left) >= self.ejections.rules.panic * len(self._usable) else self._usable

    def _found(self, changes: list[Change]) -> None:
        for key, value in changes:
            self._unreachable.pop(key, None)
            if value is None:
                continue
            try:
                finding = read_finding(key, value)
                number = int(key.split("/")[-2], 16)
            except (DiscoveryError, ValueError) as error:
                logger.warning("%s: skipped: %s", self.address, error)
                continue
            if finding.eject and not finding.reachable:
                self._unreachable[key] = number
        self._news.set()

    def _changed(self, changes: list[Change]) -> None:
        for key, value in changes:
            self.foreign.pop(key, None)
            gone = self._instances.pop(key, None)
            if value is None:
                if gone is not None:
                    self.ejections = self.ejections.without(gone.instance_id)
                continue
            try:
                self._instances[key] = decode(key, value)
            except DiscoveryError as error:
                self.foreign[key] = str(error)
                logger.warning("%s: skipped: %s", self.address, error)
        listed = ((one.instance_id, one) for one in self.instances())
        self._usable = {one: its for one, its in listed if self._place(its) is not None}
        self._news.set()

    # --- how to call -------------------------------------------------------------------------

    def _place(self, instance: Instance) -> tuple[str, str] | None:
        """Return the kind and the address by which an instance is called; None if it is not."""
        if not instance.ready:
            return None
        for kind in self._make:
            place = instance.transport.get(kind) or instance.facts.get(kind)
            if isinstance(place, str):
                return kind, place
        return None

    def stream(
        self, instance: Instance, request: Any, name: str, seconds: float | None
    ) -> AsyncGenerator[Any, None]:
        """Call an instance: for its answer. Raises RequestError."""
        kind, place = self._place(instance) or ("", "")
        if not kind:
            raise RequestError(f"{instance.name} is not ready any more", fault=Fault.UNAVAILABLE)
        caller = self._callers.get(kind)
        if caller is None:
            caller = self._callers[kind] = self._make[kind]()
        return caller.call(place, request, request_id=name, seconds=seconds)

    def began(self, answer: Answer) -> None:
        """Count a request in: for its answer."""
        self.in_flight[answer.instance.instance_id] += 1
        self.sent[answer.instance.instance_id] += 1
        self._answers.add(answer)

    def ended(self, answer: Answer) -> None:
        """Count a request out: for its answer."""
        if answer in self._answers:
            self._answers.discard(answer)
            self.in_flight[answer.instance.instance_id] -= 1

    def now(self) -> float:
        """Return the time."""
        return self._clock()


class Answer:
    """The items of an answer. It is iterated once; `aclose` says that the rest is not wanted."""

    def __init__(self, client: Client, instance: Instance, until: float | None) -> None:
        self.instance = instance
        """Who answers."""
        self._client = client
        self._until = until
        self._stream: AsyncGenerator[Any, None] | None = None
        self._first: list[Any] = []
        self._done = False

    async def begin(self, request: Any, name: str) -> None:
        """Send the request, and wait for the first item: for the client. Raises RequestError."""
        client = self._client
        client.began(self)
        try:
            left = None if self._until is None else self._until - client.now()
            self._stream = client.stream(self.instance, request, name, left)
            self._first.append(await self._read())
        except StopAsyncIteration:
            await self._finish(None)  # an answer without an item is one
        except RequestError as error:
            await self._finish(Fault(error.fault))
            raise
        except BaseException:
            await self._finish(Fault.CLIENT)
            raise

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._first:
            return self._first.pop()
        if self._done:
            raise StopAsyncIteration
        try:
            return await self._read()
        except StopAsyncIteration:
            await self._finish(None)
            raise
        except RequestError as error:
            late = Fault(error.fault) is Fault.TIMEOUT and self._until is not None
            await self._finish(Fault.CLIENT if late else Fault(error.fault))  # our time was short
            error.started = True
            raise
        except BaseException:
            await self._finish(Fault.CLIENT)  # it was we who ended it
            raise

    async def aclose(self) -> None:
        """Say that the rest is not wanted; twice is once."""
        if not self._done:
            await self._finish(Fault.CLIENT)

    async def _read(self) -> Any:
        assert self._stream is not None
        late = None if self._until is None else max(self._until - self._client.now(), 0)
        try:
            async with asyncio.timeout(late):
                return await anext(self._stream)
        except TimeoutError:
            told = f"{self.instance.name}: not done by the deadline"
            raise RequestError(told, fault=Fault.TIMEOUT) from None

    async def _finish(self, fault: Fault | None) -> None:
        self._done = True
        self._client.ended(self)
        if fault is not Fault.CLIENT:
            self._client.told(self.instance, fault)
        if self._stream is not None:
            await self._stream.aclose()


def _elsewhere(error: RequestError) -> bool:
    return Fault(error.fault).elsewhere
