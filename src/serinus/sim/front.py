"""The HTTP side of the simulator: requests to the flavour and to the engine, answers back."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager

from serinus.sim.answers import events, whole
from serinus.sim.asks import Ask, AskError, Kind, read_ask
from serinus.sim.control import PREFIX, Control
from serinus.sim.engine import QueueFullError
from serinus.sim.flavours import Flavour
from serinus.sim.http import web
from serinus.sim.jobs import HEALTH_ORDER, Job
from serinus.sim.pages import Page, Situation, json_page
from serinus.sim.ranks import Ranks
from serinus.sim.shapes import Reply

__all__ = ["Front"]

TEXT_ROUTES = {"/v1/completions": Kind.COMPLETION, "/v1/chat/completions": Kind.CHAT}
RANK_HEADER = "X-Data-Parallel-Rank"
MOST_BODY = 8 * 1024 * 1024  # bytes; a prompt of a million ids


class Front:
    """One handler for every request. The owner sets `loading`, and freezes the metrics page."""

    def __init__(self, flavour: Flavour, engine: Ranks, control: Control) -> None:
        self.loading = False
        self._flavour = flavour
        self._engine = engine
        self._control = control
        self._pages = flavour.pages()
        self._headers = {"Server": flavour.server}
        self._in_flight = 0
        self._frozen: str | None = None

    def freeze(self, *, frozen: bool) -> None:
        """Let the metrics page stand still from now on, or live again."""
        if frozen and self._frozen is None:
            self._frozen = self._flavour.metrics()
        elif not frozen:
            self._frozen = None

    def application(self) -> web.Application:
        """Return the application that a server runs."""
        app = web.Application(client_max_size=MOST_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    def controls(self) -> web.Application:
        """Return an application that has the control routes alone."""
        app = web.Application(client_max_size=MOST_BODY)
        app.router.add_route("*", PREFIX + "{path:.*}", self._controlled)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path, method = request.path, request.method
        if path == PREFIX or path.startswith(f"{PREFIX}/"):
            return await self._controlled(request)
        kind = TEXT_ROUTES.get(path)
        if kind is not None:
            return await self._text(request, kind) if method == "POST" else self._lacks("POST")
        methods = self._pages.get(path)
        if methods is None:
            return self._response(self._flavour.unknown(404))
        answer = methods.get(method)
        if answer is None:
            return self._lacks(", ".join(methods))
        page = answer(
            Situation(
                loading=self.loading,
                in_flight=self._in_flight,
                metrics=self._metrics,
                core=self._engine.turn,
                generates=self._generating,
                sleep=lambda abort: self._engine.sleep(abort=abort),
                wake=self._engine.wake,
                asleep=self._engine.asleep,
                query=request.query,
            )
        )
        return self._response(page if isinstance(page, Page) else await page)

    @contextmanager
    def _generating(self) -> Iterator[None]:
        job = self._engine.submit((HEALTH_ORDER,))
        try:
            yield
        finally:
            self._engine.abort(job)

    def _metrics(self) -> str:
        return self._flavour.metrics() if self._frozen is None else self._frozen

    def _lacks(self, accepted: str) -> web.Response:
        response = self._response(self._flavour.unknown(405))
        response.headers["Allow"] = accepted
        return response

    async def _controlled(self, request: web.Request) -> web.Response:
        if not _is_loopback(request.remote):
            message = f"{PREFIX} answers this machine alone"
            return self._response(json_page({"error": message}, status=403))
        return self._response(
            self._control.answer(request.method, request.path, await request.read())
        )

    async def _text(self, request: web.Request, kind: Kind) -> web.StreamResponse:
        shapes = self._flavour.shapes
        raw = await request.read()
        if self.loading:
            return self._told(shapes.loading())
        try:
            ask = read_ask(kind, raw, self._flavour.dialect)
            job = self._engine.submit(ask.orders, rank=self._rank(request, ask))
        except AskError as failure:
            return self._told(shapes.refusal(failure))
        except QueueFullError:
            return self._told(shapes.busy())
        self._in_flight += 1
        try:
            if ask.stream:
                return await self._stream(request, ask, job)
            return self._told(await whole(ask, job, shapes))
        finally:
            # Also when the client went away: the slot is free again.
            self._in_flight -= 1
            self._engine.abort(job)

    def _rank(self, request: web.Request, ask: Ask) -> int | None:
        """Return the rank that a request names; the header has the last word, as in engines."""
        told = request.headers.get(RANK_HEADER) if len(self._engine) > 1 else None
        return int(told) if told is not None and told.isdigit() else ask.rank

    async def _stream(self, request: web.Request, ask: Ask, job: Job) -> web.StreamResponse:
        """Answer in events. The status is sent at once: a hung engine has already said 200."""
        response = web.StreamResponse(headers=self._headers)
        response.content_type = "text/event-stream"
        response.charset = "utf-8"
        try:
            await response.prepare(request)
            async for data in events(ask, job, self._flavour.shapes):
                await response.write(f"data: {data}\n\n".encode())
            await response.write_eof()
        except ConnectionResetError:
            pass  # the client went between two events: there is nobody to tell
        return response

    def _response(self, page: Page) -> web.Response:
        body = page.body.encode() or None
        response = web.Response(status=page.status, body=body, headers=self._headers)
        if page.content_type is not None:
            response.headers["Content-Type"] = page.content_type
        return response

    def _told(self, reply: Reply) -> web.Response:
        return self._response(json_page(reply.body, status=reply.status))


def _is_loopback(remote: str | None) -> bool:
    try:
        address = ipaddress.ip_address(remote or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)  # an IPv4 peer of a socket for both
    return bool((mapped or address).is_loopback)
