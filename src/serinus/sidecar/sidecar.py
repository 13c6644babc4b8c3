"""The sidecar: a runtime, and a watch over each engine."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Self

from serinus.engines import ENGINES
from serinus.engines.capabilities import DirectsToRanks
from serinus.errors import LifecycleError, SettingsError
from serinus.runtime.draining import SignalWatch
from serinus.runtime.runtime import Runtime
from serinus.settings import Settings
from serinus.sidecar.client import EngineClient, trusting
from serinus.sidecar.contacts import Contacts
from serinus.sidecar.credentials import Credentials
from serinus.sidecar.grouping import Declared, prepared
from serinus.sidecar.stranger import StrangerWatch
from serinus.sidecar.targets import Target
from serinus.sidecar.watch import EngineWatch

__all__ = ["Sidecar"]

logger = logging.getLogger("serinus")


class Sidecar:
    """Watches engines and answers `/health`, `/live` and `/metrics` for them. A context manager.

    All of them must be ready, and of each of the `groups` as many as its policy asks for. An engine
    that cannot be reached is loading, and no error.
    `ca_file` has the authorities that certificates are checked against, the system's if None.
    `handle_signals`: SIGTERM and SIGINT end it (`stopped` returns), a second one waits no longer.

    Raises SettingsError if the key, the authorities or the port cannot be had.
    """

    def __init__(
        self,
        settings: Settings,
        targets: Sequence[Target],
        *,
        groups: Sequence[Declared] = (),
        ca_file: str | None = None,
        handle_signals: bool = True,
        clock: Callable[[], float] = time.monotonic,
        seed: int | None = None,
    ) -> None:
        self.targets = prepared(targets, groups)
        self._groups = tuple(groups)
        _check_ranks(self.targets, settings)
        self.watches: tuple[EngineWatch | StrangerWatch, ...] = ()
        self._settings = settings
        self._credentials = Credentials(settings)
        self._contacts = Contacts(
            excuse=settings.excuse_budget,
            span=settings.health_check_request_timeout,
            pace=settings.scrape_interval,
            clock=clock,
        )
        self._trust = trusting(ca_file)
        self._clock = clock
        self._seed = seed
        self._stop = asyncio.Event()
        self._runtime: Runtime | None = None
        self._signals = SignalWatch(self.stop) if handle_signals else None
        self._open = AsyncExitStack()

    @property
    def runtime(self) -> Runtime:
        """The runtime, while the sidecar is entered."""
        if self._runtime is None:
            raise LifecycleError("the sidecar is not entered: use 'async with Sidecar(...)'")
        return self._runtime

    @property
    def address(self) -> str | None:
        """Where the status port answers."""
        return self.runtime.address

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            clients = [self._client(target) for target in self.targets]
            for client in clients:  # after the runtime, which waits for canaries in flight
                opened.push_async_callback(client.close)
            runtime = Runtime(
                self._settings, handle_signals=False, clock=self._clock, seed=self._seed
            )
            self._runtime = await opened.enter_async_context(runtime)
            if self._signals is not None:
                self._signals.open()
                opened.callback(self._signals.close)
            runtime.board.outage = self._contacts.outage
            for declared in self._groups:
                self._gather(declared)
            self.watches = tuple(map(self._watch, self.targets, clients))
            for target, one in zip(self.targets, self.watches, strict=True):
                self.runtime.advertise(
                    str(target.address), {"http": str(target.place)}, partial(_facts, one)
                )
            self._open = opened.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.__aexit__(kind, error, trace)

    def stop(self) -> None:
        """Let `stopped` return; once more means: do not wait for the grace of draining."""
        if self._stop.is_set():
            self.runtime.shutdown()
        self._stop.set()

    async def stopped(self) -> None:
        """Wait until a signal, or `stop`, ends it; then leave the context."""
        await self._stop.wait()

    def _client(self, target: Target) -> EngineClient:
        return EngineClient(
            target.place,
            api_key=self._credentials.key,
            trust=self._trust,
            line=self._contacts.line(target.place),
            clock=self._clock,
        )

    def _gather(self, declared: Declared) -> None:
        groups = self.runtime.board.groups
        gathering = groups.gather(declared.group)
        for place in declared.members:
            groups.join(gathering, place.address, name=place.name, role=place.role)

    def _watch(self, target: Target, client: EngineClient) -> EngineWatch | StrangerWatch:
        kind = StrangerWatch if target.recognise else EngineWatch
        watch = kind(
            target,
            client,
            self.runtime.board,
            self._credentials,
            clock=self._clock,
            seed=self._seed,
        )
        self.runtime.start_task(watch.run(), name=f"watch of {target.address}")
        return watch


def _facts(watch: EngineWatch | StrangerWatch) -> Mapping[str, object]:
    """Say of an engine what others want to know: its kind, and its model once it is known."""
    known = watch.known if isinstance(watch, StrangerWatch) else watch
    if known is None:
        return {}
    facts: dict[str, object] = {"engine": known.target.engine.name}
    if known.presence.model:
        facts["model"] = known.presence.model
    return facts


def _check_ranks(targets: Sequence[Target], settings: Settings) -> None:
    """Raise SettingsError where ranks are declared of an engine that lets nobody choose one."""
    able = [engine.name for engine in ENGINES if isinstance(engine, DirectsToRanks)]
    for target in targets:
        engine = target.engine
        if settings.ranks > 1 and not target.recognise and not isinstance(engine, DirectsToRanks):
            raise SettingsError(
                f"ranks: {settings.ranks} of {target.address}, and no request can choose its rank "
                f"with the engine '{engine.name}'; accepted: 0 or 1, or --engine {', '.join(able)}"
            )
