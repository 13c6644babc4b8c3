"""This process in its fleet: it announces its endpoints, serves them, and calls those of others.

What is announced is what the status port says, in the same turn. Trouble with discovery is shown
and logged, and never touches the health of this process.
"""

from __future__ import annotations

import importlib.util
import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from serinus.core.address import EndpointAddress
from serinus.core.instance import Instance
from serinus.core.status import HealthStatus, Rule
from serinus.core.system_health import Judged, Readiness
from serinus.discovery import Discovery
from serinus.discovery.cards import card_key_of, write_card
from serinus.discovery.choice import backend_of
from serinus.discovery.records import encode, key_of, withdrawn_key_of
from serinus.request_plane.client import Caller, Client
from serinus.request_plane.tcp_caller import TcpCaller
from serinus.runtime.board import Board
from serinus.runtime.planes import Planes, advertised, listened_on
from serinus.runtime.publisher import Publisher
from serinus.runtime.restarts import RestartGovernor
from serinus.runtime.served import Served

__all__ = ["Membership"]

_OF_THE_PROCESS = (Rule.DRAINING, Rule.ENGINE_DIED, Rule.HOLD, Rule.CHECKS)
"""Rules by which no endpoint of the process is ready, whatever its own verdict."""
_LARGEST_PAYLOAD = 4096
"""Bytes of a payload that is announced, for those who prove the endpoint from outside."""


Facts: TypeAlias = Callable[[], Mapping[str, object]]
"""What is said of an endpoint beside its status, as it is now."""


class _Word(NamedTuple):
    """What was last announced of an endpoint, and since when its status is what it is."""

    instance: Instance
    since: str


class Membership:
    """From `open` to `close`. Without discovery only the request planes are served."""

    def __init__(
        self,
        board: Board,
        served: Mapping[EndpointAddress, Served],
        *,
        publisher: Publisher,
        status_address: Callable[[], str | None],
    ) -> None:
        settings = board.settings
        self._board = board
        self._served = served
        self._publisher = publisher
        self._status_address = status_address
        self._elsewhere: dict[EndpointAddress, tuple[Mapping[str, str], Facts]] = {}
        self._words: dict[EndpointAddress, _Word] = {}
        self.planes = Planes(board, served)
        self.instance_id = settings.instance_id or secrets.randbits(63) + 1
        self.owner = secrets.token_hex(8)
        self._host = advertised(settings)
        self.discovery: Discovery | None = None
        self.restarts: RestartGovernor | None = None
        backend = backend_of(settings)
        if backend is not None:
            self.discovery = Discovery(
                backend, lease=settings.discovery_lease, owner=self.owner, clock=board.clock
            )
            if settings.restart_budget.strip("%") != "0":
                self.restarts = RestartGovernor(
                    self.discovery,
                    self.instance_id,
                    self.owner,
                    budget=settings.restart_budget,
                    limit=settings.restart_wait,
                    changed=board.changed,
                    clock=board.clock,
                )

    async def open(self) -> None:
        """Serve, connect, and announce from now on. Raises SettingsError without a port."""
        await self.planes.open()
        if self.discovery is not None:
            await self.discovery.__aenter__()
            self._publisher.told = self.told
        if self.restarts is not None:
            self._board.govern = self.restarts.govern
            self.restarts.start()
        self._board.fleet = self.report

    async def close(self) -> None:
        """Take back what was announced, and stop to serve."""
        self._publisher.told = lambda *_: None
        if self.restarts is not None:
            await self.restarts.stop()
        if self.discovery is not None:
            for word in self._words.values():
                self._withdraw(word.instance)
            self._words.clear()
            await self.discovery.__aexit__(None, None, None)
        await self.planes.close()

    def client(self, address: EndpointAddress, **options: Any) -> Client:
        """Return a client of an endpoint; discovery must be on."""
        assert self.discovery is not None
        callers: dict[str, Callable[[], Caller]] = {}
        if importlib.util.find_spec("aiohttp") is not None:
            callers["rpc"] = lambda: import_module("serinus.request_plane.http_caller").HttpCaller()
        host = listened_on(self._board.settings)
        callers["tcp"] = lambda: TcpCaller(bind=host, host=self._host)
        return Client(address, self.discovery, callers, **options)

    # --- what is announced -------------------------------------------------------------------

    def advertise(
        self,
        address: EndpointAddress,
        transport: Mapping[str, str],
        facts: Facts,
    ) -> None:
        """Say how an endpoint that somebody else serves is called; `facts` are read each time."""
        self._elsewhere[address] = (transport, facts)
        self._publisher.changed()

    def told(self, endpoints: Iterable[Judged], readiness: Readiness) -> None:
        """Announce what is published."""
        words: dict[EndpointAddress, _Word] = {}
        common = self._facts()
        for endpoint in endpoints:
            if (instance := self._instance(endpoint, readiness, common)) is not None:
                words[endpoint.address] = self._announce(instance)
        for address in self._words.keys() - words.keys():
            self._withdraw(self._words[address].instance)
        self._words = words
        if self.restarts is not None:
            self.restarts.component = min(words, default=None)

    def _announce(self, instance: Instance) -> _Word:
        assert self.discovery is not None
        known = self._words.get(instance.address)
        same = known is not None and (known.instance.status, known.instance.reason) == (
            instance.status,
            instance.reason,
        )
        since = (
            known.since if known is not None and same else self._publisher.wall(self._board.clock())
        )
        instance = instance._replace(since=since)
        if known is None or instance != known.instance:
            listed, withdrawn = key_of(instance), withdrawn_key_of(instance)
            if not instance.ready and self._board.settings.withdraw_not_ready:
                listed, withdrawn = withdrawn, listed
            self.discovery.withdraw(withdrawn)
            self.discovery.announce(listed, encode(instance))
            self._announce_model(instance, listed=listed == key_of(instance))
        return _Word(instance, since)

    def _announce_model(self, instance: Instance, *, listed: bool) -> None:
        """Announce the model of an instance as long as that is listed."""
        assert self.discovery is not None
        served = self._served.get(instance.address)
        if listed and served is not None and served.model and "tcp" in instance.transport:
            kind = self._board.settings.worker_type
            card = write_card(instance, served.model, served.surface, worker_type=kind)
            self.discovery.announce(card_key_of(instance), card)
        else:
            self.discovery.withdraw(card_key_of(instance))

    def _withdraw(self, instance: Instance) -> None:
        assert self.discovery is not None
        self.discovery.withdraw(key_of(instance))
        self.discovery.withdraw(withdrawn_key_of(instance))
        self.discovery.withdraw(card_key_of(instance))

    def _instance(
        self, endpoint: Judged, readiness: Readiness, common: Mapping[str, object]
    ) -> Instance | None:
        """Return what is said of an endpoint; None if nobody could call it."""
        transport, facts = self._reached(endpoint.address)
        if not transport:
            return None
        status, reason = endpoint.status, str(endpoint.reason)
        if readiness.rule in _OF_THE_PROCESS and not readiness.ready:
            status, reason = HealthStatus.NOTREADY, str(readiness.rule)
        return Instance(
            endpoint.address,
            self.instance_id,
            transport,
            status,
            reason,
            owner=self.owner,
            facts={**common, **facts},
        )

    def _reached(self, address: EndpointAddress) -> tuple[Mapping[str, str], Mapping[str, object]]:
        """Return by which transport an endpoint is reached, and what belongs to that.

        It is one: the reference cannot read a record with several.
        """
        if address in self._elsewhere:
            transport, told = self._elsewhere[address]
            return transport, told()
        served = self._served.get(address)
        if served is None or not served.has_handler:
            return {}, {}
        facts: dict[str, object] = {"model": served.model} if served.model else {}
        if (payload := _announced(served.payload)) is not None:
            facts["payload"] = payload
        tcp = self.planes.tcp_place(address, self.instance_id, self._host)
        http = self.planes.http_place(address, self._host)
        if http is not None:
            facts["rpc"] = http
        if tcp is not None:
            return {"tcp": tcp}, facts
        return ({"http": http} if http is not None else {}), facts

    def _facts(self) -> dict[str, object]:
        settings = self._board.settings
        facts: dict[str, object] = {
            "worker_type": settings.worker_type,
            "lease": settings.discovery_lease,
        }
        if settings.model is not None:
            facts["model"] = settings.model
        if (status := self._status()) is not None:
            facts["status_address"] = status
        return facts

    def _status(self) -> str | None:
        """Return where others reach the status port."""
        address = self._status_address()
        if address is None or not address.startswith("http"):
            return None
        parts = urlsplit(address)
        if parts.hostname not in ("0.0.0.0", "::"):
            return address
        host = self._host if ":" not in self._host else f"[{self._host}]"
        return f"{parts.scheme}://{host}:{parts.port}"

    # --- for people --------------------------------------------------------------------------

    def report(self) -> Mapping[str, Any]:
        """Tell of all this, for `?verbose`."""
        gate = self.planes.gate
        told: dict[str, Any] = {
            "request_plane": {
                "tcp": None if self.planes.tcp is None else f"{self._host}:{self.planes.tcp.port}",
                "http": None
                if self.planes.http is None
                else f"{self._host}:{self.planes.http.port}",
                "in_flight": gate.inside,
                "waiting": gate.waiting,
                "refused": gate.refused,
            }
        }
        if self.discovery is not None:
            told["discovery"] = {
                "backend": self.discovery.backend.place,
                "connected": self.discovery.connected,
                "trouble": self.discovery.trouble,
                "instance_id": f"{self.instance_id:x}",
                "owner": self.owner,
                "listed": [w.instance.name for w in self._words.values() if self._is_listed(w)],
                "withdrawn": [
                    w.instance.name for w in self._words.values() if not self._is_listed(w)
                ],
                "conflicts": self.discovery.conflicts(),
            }
        if self.restarts is not None:
            told["restarts"] = self.restarts.report()
        return told

    def _is_listed(self, word: _Word) -> bool:
        return word.instance.ready or not self._board.settings.withdraw_not_ready


def _announced(payload: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return a payload that can be written in a record; None for none."""
    if payload is None:
        return None
    try:
        return payload if len(json.dumps(payload, allow_nan=False)) <= _LARGEST_PAYLOAD else None
    except (TypeError, ValueError, RecursionError):
        return None
