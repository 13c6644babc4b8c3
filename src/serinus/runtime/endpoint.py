"""An endpoint of the library: a handler that is served, watched and accounted for."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias
from zlib import crc32

from serinus.core.address import EndpointAddress
from serinus.core.evidence import EngineDied
from serinus.core.marker import HEALTH_CHECK_KEY
from serinus.core.transcript import Transcript
from serinus.errors import LifecycleError, SettingsError, excerpt
from serinus.runtime.board import DEGRADED_POLICIES, Board
from serinus.runtime.callables import gives_stream
from serinus.runtime.checks import Check, as_question
from serinus.runtime.context import Context
from serinus.runtime.served import Served
from serinus.runtime.target import Answer
from serinus.runtime.traffic import Traffic
from serinus.settings import Settings

__all__ = ["RANK_KEY", "Endpoint", "PayloadLike"]

if TYPE_CHECKING:
    from serinus.payloads import HealthCheckPayload
    from serinus.request_plane.client import Client
    from serinus.runtime.leases import LeaseGrant

_SURFACES = ("chat", "completions")
"""Those of `discovery.cards`, which is not imported where discovery is off."""
RANK_KEY = "data_parallel_rank"
"""The key of a payload that names a rank, as the engines' Python interfaces call it."""
PayloadLike: TypeAlias = "Mapping[str, Any] | HealthCheckPayload"


class Endpoint:
    """One address of a runtime. Made by `runtime.endpoint("namespace.component.endpoint")`."""

    __slots__ = ("_board", "_client", "_drained", "_left", "_rank", "_served", "address")

    def __init__(
        self,
        address: EndpointAddress,
        *,
        board: Board,
        served: dict[EndpointAddress, Served],
        drained: Callable[[], Awaitable[object]],
        left: Callable[[Served], None] = lambda _served: None,
        rank: int | None = None,
        client: Callable[..., Client] | None = None,
    ) -> None:
        self.address = address
        self._client = client
        self._board = board
        self._served = served
        self._drained = drained
        self._left = left
        self._rank = rank

    async def serve_endpoint(
        self,
        handler: Callable[..., AsyncIterator[Any]],
        graceful_shutdown: bool = True,  # noqa: FBT001, FBT002 - the reference's signature
        metrics_labels: list[tuple[str, str]] | None = None,
        health_check_payload: PayloadLike | None = None,
        *,
        degraded_policy: str | None = None,
        correctness_payloads: Sequence[PayloadLike] | None = None,
        transcript: Callable[[Any], Transcript] | None = None,
    ) -> None:
        """Serve the handler until the runtime has drained, then withdraw it.

        `handler(request)` or `handler(request, context)` is an async generator function.
        `graceful_shutdown` false: draining does not wait for its requests. `health_check_payload`
        is the canary's request; without one the endpoint is ready as soon as it is served. The
        settings' payload overrides a HealthCheckPayload, and never a plain mapping.
        `degraded_policy` says whether it stays ready while it serves worse than it should:
        "report" or "notready", None for the settings' own.
        `correctness_payloads` are greedy requests of fixed prompts, whose answers are compared with
        what they were if the settings have a `correctness_policy`. `transcript` returns what one
        item of an answer brings, where it is not one of the usual shapes.
        Raises SettingsError for a handler, payload, labels or policy of another kind,
        LifecycleError if the address is served already.
        """
        await self.register(
            handler,
            graceful_shutdown=graceful_shutdown,
            metrics_labels=metrics_labels,
            health_check_payload=health_check_payload,
            degraded_policy=degraded_policy,
            correctness_payloads=correctness_payloads,
            transcript=transcript,
        )
        try:
            await self._drained()
        finally:
            await self.withdraw()

    async def register(
        self,
        handler: Callable[..., AsyncIterator[Any]],
        *,
        graceful_shutdown: bool = True,
        metrics_labels: list[tuple[str, str]] | None = None,
        health_check_payload: PayloadLike | None = None,
        degraded_policy: str | None = None,
        correctness_payloads: Sequence[PayloadLike] | None = None,
        transcript: Callable[[Any], Transcript] | None = None,
    ) -> None:
        """Begin to serve the handler, and return; the rest as `serve_endpoint`."""
        takes_context = _takes_context(handler)
        payload = _payload(health_check_payload, self._board.settings)
        if payload is not None and self._rank is not None:
            payload.setdefault(RANK_KEY, self._rank)
        exams = _exams(correctness_payloads, self._board.settings, canary=payload is not None)
        labels = _labels(metrics_labels)
        policy = _policy(degraded_policy)
        if self._board.system.draining:
            raise LifecycleError(f"endpoint {self.address}: the runtime is draining")
        self._served[self.address] = Served(
            self._board,
            self.address,
            handler,
            takes_context=takes_context,
            payload=payload,
            graceful=graceful_shutdown,
            labels=labels,
            degraded_policy=policy,
            exams=exams,
            said=transcript,
        )

    def watch(
        self,
        question: Callable[[], Awaitable[Answer]] | None,
        *,
        graceful_shutdown: bool = True,
        metrics_labels: list[tuple[str, str]] | None = None,
        degraded_policy: str | None = None,
        engine: str = "",
    ) -> Traffic:
        """Watch the endpoint though its requests go through no handler; return their account.

        Whoever passes the requests on keeps it (`Account`). `question` sends one canary and says
        what came of it; without one there is none. `engine`: whose times are learned, the kind and
        the model. The rest as `serve_endpoint`.
        """
        labels, policy = _labels(metrics_labels), _policy(degraded_policy)
        if self._board.system.draining:
            raise LifecycleError(f"endpoint {self.address}: the runtime is draining")
        served = Served(
            self._board,
            self.address,
            None,
            question=question,
            graceful=graceful_shutdown,
            labels=labels,
            degraded_policy=policy,
        )
        self._served[self.address] = served
        if engine:
            self._board.identify(served.watched, engine)
        return served.traffic

    async def withdraw(self) -> None:
        """Stop serving; requests in flight go on to their end. Twice is once."""
        served = self._served.pop(self.address, None)
        if served is not None:
            self._left(served)
            self._board.unwatch(served.watched)

    def stream(self, request: Any, context: Context | None = None) -> AsyncGenerator[Any, None]:
        """Send a user's request through the handler; what it yields comes out unchanged.

        Chunks, errors and cancellations become evidence. Raises LifecycleError while the endpoint
        is not served.
        """
        served = self._served.get(self.address)
        if served is None:
            raise LifecycleError(f"endpoint {self.address} is not served")
        return served.stream(request, context or Context())

    def register_model(self, name: str, *, surface: str = "chat") -> None:
        """Say which model this endpoint serves: its handler takes requests of OpenAI's API.

        `surface` is "chat" or "completions". Where discovery is on, the model is announced while
        the endpoint is listed: the reference's frontend lists it, and sends on what users sent.
        Raises SettingsError for other words, LifecycleError while the endpoint is not served.
        """
        served = self._served.get(self.address)
        if served is None or not served.has_handler:
            raise LifecycleError(f"endpoint {self.address} is not served: it has no model")
        if surface not in _SURFACES or not name.strip():
            raise SettingsError(
                f"model {excerpt(name)!r}, surface {excerpt(surface)!r}; accepted: a name, and "
                f"{' or '.join(map(repr, _SURFACES))}"
            )
        served.model, served.surface = name, surface
        self._board.changed()

    def client(self, **options: Any) -> Client:
        """Return a client of this endpoint, wherever it is served: an async context manager.

        `options` are those of `Client`. Raises LifecycleError where discovery is off.
        """
        if self._client is None:
            raise LifecycleError(f"client of {self.address}: this endpoint is of no runtime")
        return self._client(self.address, **options)

    def add_check(self, name: str, check: Check, *, interval: float, timeout: float) -> None:
        """Add a custom check: the endpoint is ready only while it passes.

        `check` is an async callable; False or an exception fails it. It is asked every `interval`
        seconds and has `timeout` seconds. It ends when the endpoint is withdrawn.
        """
        served = self._served.get(self.address)
        if served is None:
            raise LifecycleError(f"endpoint {self.address} is not served: no check can be added")
        question = as_question(name, check, self._board.clock)
        self._board.add_check(
            name, question, interval=interval, timeout=timeout, owner=served.watched
        )

    def lease(self, why: str, *, seconds: float) -> LeaseGrant:
        """Announce a planned pause of this endpoint alone; the rest as `Runtime.lease`."""
        return self._board.lease(why, seconds=seconds, endpoint=str(self.address))

    def died(self, why: str) -> None:
        """Say that the engine behind this endpoint is gone."""
        served = self._served.get(self.address)
        if served is not None:
            self._board.tell(served.watched.target, EngineDied(self._board.clock(), why))


def _takes_context(handler: Callable[..., AsyncIterator[Any]]) -> bool:
    """Say whether a handler wants a second argument. Raises SettingsError for another kind."""
    if not gives_stream(handler):
        raise SettingsError(
            f"handler {excerpt(getattr(handler, '__qualname__', handler))}: is not an async "
            "generator function; accepted: 'async def handler(request)' or "
            "'async def handler(request, context)' with a yield in it"
        )
    signature = inspect.signature(handler)
    if _fits(signature, 2):
        return _is_for_context(list(signature.parameters.values())[:2][-1])
    if _fits(signature, 1):
        return False
    raise SettingsError(
        f"handler {excerpt(getattr(handler, '__qualname__', handler))}: takes {signature}; "
        "accepted: (request) or (request, context)"
    )


def _fits(signature: inspect.Signature, arguments: int) -> bool:
    try:
        signature.bind(*[object()] * arguments)
    except TypeError:
        return False
    return True


def _is_for_context(second: inspect.Parameter) -> bool:
    """Say whether a second parameter is meant for the context: an option with a default is not."""
    return second.default is inspect.Parameter.empty or second.name in {"context", "ctx"}


def _exams(
    given: Sequence[PayloadLike] | None, settings: Settings, *, canary: bool
) -> dict[str, dict[str, Any]]:
    """Return greedy requests by a name that tells one from another."""
    if given is None:
        return {}
    if not isinstance(given, list | tuple):
        raise SettingsError(
            f"correctness_payloads {excerpt(given)}: is a {type(given).__name__}; accepted: a list"
            " of mappings or HealthCheckPayloads"
        )
    if not canary:
        raise SettingsError(
            "correctness_payloads are given, and no health_check_payload; accepted: both, as only"
            " an endpoint with a canary is examined"
        )
    payloads = [_payload(one, settings, "correctness_payloads") or {} for one in given]
    return {f"{number}: {_digest(one)}": one for number, one in enumerate(payloads, start=1)}


def _digest(payload: dict[str, Any]) -> str:
    return f"{crc32(repr(payload).encode()):08x}"


def _payload(
    given: PayloadLike | None, settings: Settings, called: str = "health_check_payload"
) -> dict[str, Any] | None:
    if given is None:
        return None
    payload = given if isinstance(given, Mapping) else _under(settings, given)
    if not isinstance(payload, Mapping):
        raise SettingsError(
            f"{called} {excerpt(given)}: is a {type(given).__name__}; "
            "accepted: a mapping or a HealthCheckPayload"
        )
    return {**payload, HEALTH_CHECK_KEY: True}


def _under(settings: Settings, given: object) -> object:
    under = getattr(given, "under", None)  # a HealthCheckPayload, which not everyone imports
    return under(settings) if callable(under) else given


def _policy(given: str | None) -> str | None:
    if given is not None and given not in DEGRADED_POLICIES:
        accepted = " or ".join(map(repr, DEGRADED_POLICIES))
        raise SettingsError(f"degraded_policy {excerpt(given)!r}; accepted: {accepted}")
    return given


def _labels(given: list[tuple[str, str]] | None) -> tuple[tuple[str, str], ...]:
    try:
        return tuple((str(name), str(value)) for name, value in given or ())
    except (TypeError, ValueError):
        raise SettingsError(
            f"metrics_labels {excerpt(given)}: accepted: a list of (name, value) pairs"
        ) from None
