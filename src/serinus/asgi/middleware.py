"""The middleware: which requests are users' work, when the runtime lives, and who asks canaries."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from serinus.asgi.canary import Canary
from serinus.asgi.exchange import Exchange
from serinus.asgi.inside import Inside
from serinus.asgi.lifespan import Lifespan
from serinus.asgi.pages import Pages
from serinus.asgi.rounds import Rounds
from serinus.asgi.types import App, Receive, Scope, Send
from serinus.core.address import EndpointAddress
from serinus.engines import engine_named
from serinus.errors import SettingsError
from serinus.runtime.runtime import Runtime
from serinus.runtime.target import Answer
from serinus.runtime.traffic import Traffic
from serinus.settings import api_key

__all__ = ["HealthMiddleware"]

logger = logging.getLogger("serinus")


class HealthMiddleware:
    """Wraps an ASGI app; requests go through unchanged.

    `endpoint` is the address that is judged; `paths` those whose POSTs are users' work: an answer
    is proof, a failure or a silence evidence against. `engine` is the kind of server the app is
    (`serinus engines`), for canaries that are asked inside the process; without one there are
    none, and the endpoint is ready from its start. `model` is what they ask for, the first that the
    app lists if None. What is None is taken from the settings (`SERINUS_ASGI_ENDPOINT`, …).
    `mount`: a path such as "/serinus" under which the app itself also answers `health`, `live` and
    `metrics`; nothing is mounted without it.

    `runtime` is opened and closed with the app's lifespan; one that was entered by its owner stays
    open. Raises SettingsError for an address, paths, an engine or a mount of another kind.
    """

    def __init__(
        self,
        app: App,
        *,
        endpoint: str | None = None,
        paths: Iterable[str] | None = None,
        engine: str | None = None,
        model: str | None = None,
        mount: str | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self._app = app
        self._runtime = runtime if runtime is not None else Runtime(handle_signals=False)
        settings = self._runtime.settings
        self._ours = not self._runtime.entered
        self._address = EndpointAddress.parse(endpoint or settings.asgi_endpoint)
        self._paths = _paths(settings.asgi_paths if paths is None else paths)
        named = engine or settings.asgi_engine
        self._engine = None if named is None else engine_named(named)
        self._model = model or settings.model
        self._pages = None if mount is None else Pages(_mount(mount), self._runtime)
        self._traffic: Traffic | None = None
        self._rounds = Rounds()
        self._starting = asyncio.Lock()
        self._signals = _Signals(self._runtime.shutdown)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection of the server's."""
        kind = scope["type"]
        if kind == "http":
            if self._traffic is None:
                await self._start(scope)
                logger.warning("the server has no lifespan: canaries begin with the first request")
            if self._pages is not None and self._pages.has(scope["path"]):
                await self._pages.answer(scope, send)
            elif scope["method"] == "POST" and _path_of(scope) in self._paths:
                assert self._traffic is not None
                exchange = Exchange(self._traffic, self._rounds, scope, receive, send)
                await exchange.run(self._app, scope)
            else:
                await self._app(scope, receive, send)
        elif kind == "lifespan":
            lifespan = Lifespan(begin=lambda: self._start(scope), leave=self._leave, end=self._stop)
            await lifespan.run(self._app, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _start(self, scope: Scope) -> None:
        """Open the runtime and watch the endpoint, once."""
        async with self._starting:
            if self._traffic is not None:
                return
            if self._ours:
                await self._runtime.__aenter__()
                self._signals.open()
            endpoint = self._runtime.endpoint(str(self._address))
            name = "" if self._engine is None else self._engine.name
            self._traffic = endpoint.watch(self._question(scope), engine=name)
            logger.info("watching %s inside the app", self._address)
            if self._engine is not None and not self._runtime.settings.health_check_enabled:
                logger.warning(
                    "no canaries for %s, so it is ready whatever happens: "
                    "DYN_HEALTH_CHECK_ENABLED is not true",
                    self._address,
                )

    def _leave(self) -> None:
        if self._ours:
            self._runtime.shutdown()

    async def _stop(self) -> None:
        if self._ours:
            self._signals.close()
            await self._runtime.__aexit__(None, None, None)
        else:
            await self._runtime.endpoint(str(self._address)).withdraw()

    def _question(self, scope: Scope) -> Callable[[], Any] | None:
        """Return what asks one canary, if the app is of a known kind."""
        if self._engine is None:
            return None
        settings, clock = self._runtime.settings, self._runtime.board.clock
        inside = Inside(
            self._app,
            clock=clock,
            around=scope,
            key=lambda: api_key(settings),
        )
        canary = Canary(
            self._engine,
            inside,
            model=self._model,
            stall=settings.health_check_busy_stall,
            clock=clock,
        )

        async def ask() -> Answer:
            return await canary.ask()

        return ask


class _Signals:
    """Hears SIGTERM and SIGINT before the server does, so that readiness falls first."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._before: dict[int, Any] = {}

    def open(self) -> None:
        """Step in front of the server's handlers; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.getsignal(number)
            if not callable(before):
                continue  # nobody shuts the app down by it

            def hear(
                number: int,
                frame: FrameType | None,
                then: Callable[[int, FrameType | None], Any] = before,
            ) -> None:
                loop.call_soon_threadsafe(self._call)
                then(number, frame)

            self._before[number] = before
            signal.signal(number, hear)

    def close(self) -> None:
        """Step back."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()


def _path_of(scope: Scope) -> str:
    """Return the path below where the app is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) or "/"


def _paths(paths: Iterable[str]) -> frozenset[str]:
    found = frozenset((paths,) if isinstance(paths, str) else paths)
    for path in found:
        if not path.startswith("/"):
            raise SettingsError(f"path {path!r}; accepted: paths that begin with '/'")
    if not found:
        raise SettingsError("paths: none; accepted: at least one path whose POSTs are users' work")
    return found


def _mount(mount: str) -> str:
    if not mount.startswith("/") or mount.endswith("/"):
        raise SettingsError(
            f"mount {mount!r}; accepted: a path that begins with '/' and does not end with it"
        )
    return mount
