"""Canaries inside the app's own process."""

from __future__ import annotations

import asyncio

import pytest

from serinus import Runtime
from serinus.asgi import HealthMiddleware
from serinus.asgi.types import Receive, Scope, Send
from serinus.errors import SettingsError
from tests.asgi.apps import Model, event, hangs, settings, streams, token, watched

GOOD = streams(token(), event("[DONE]"), pace=0.01)


def reason(runtime: Runtime) -> str:
    (endpoint,) = runtime.report().endpoints
    return str(endpoint.reason)


async def test_an_idle_app_is_proven_by_its_first_canary() -> None:
    """Not ready before; the app sees a request like any other, marked as a canary."""
    model = Model(GOOD)
    async with watched(model, engine="openai") as (_, runtime):
        await asyncio.sleep(0.5)
        assert runtime.report().readiness.ready
        paths = [scope["path"] for scope in model.scopes]
        assert paths == ["/v1/models", "/v1/completions"]
        headers = dict(model.scopes[1]["headers"])
        assert headers[b"x-serinus-canary"] == b"1"
        assert headers[b"user-agent"].startswith(b"serinus-canary/")


async def test_a_canary_has_what_layers_around_put_into_the_scope() -> None:
    """The framework's own app, and what the lifespan left for requests."""
    model = Model(GOOD)
    async with watched(model, engine="openai", model="tiny") as (server, _):
        await asyncio.sleep(0.5)
        (scope,) = model.scopes
        assert scope["app"] is server
        assert (scope["type"], scope["state"]) == ("http", {})


async def test_canaries_are_nobodys_traffic() -> None:
    """They keep no account of their own."""
    async with watched(Model(GOOD), engine="openai") as (_, runtime):
        await asyncio.sleep(60)
        (served,) = runtime._workings.served.values()
        assert served.traffic.started == 0


async def test_an_idle_hang_is_seen_and_its_end_too() -> None:
    """Two canaries that time out; the first token of the thaw brings it back."""
    model = Model(GOOD)
    async with watched(model, engine="openai", model="tiny") as (_, runtime):
        await asyncio.sleep(1)
        model.behave = hangs
        await asyncio.sleep(10 * 1.2 + 3 + 3 + 1)
        assert (runtime.report().readiness.ready, reason(runtime)) == (False, "canary_timeout")
        model.behave = GOOD
        await asyncio.sleep(20)
        assert runtime.report().readiness.ready


async def test_a_canary_at_its_deadline_cancels_the_apps_work() -> None:
    """The app sees its task cancelled, and nothing is left of it."""
    ended: list[str] = []

    async def hang(_receive: Receive, _send: Send) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async with watched(Model(hang), engine="openai", model="tiny"):
        await asyncio.sleep(4)
        assert ended


async def test_an_engine_that_says_it_is_dead_is_dead() -> None:
    """By the exception that its server lets through."""

    class EngineDeadError(Exception):
        pass

    async def dead(_receive: Receive, _send: Send) -> None:
        raise EngineDeadError("EngineCore died")

    async with watched(Model(dead), engine="vllm", model="tiny") as (_, runtime):
        await asyncio.sleep(1)
        report = runtime.report()
        assert (report.liveness.live, str(report.liveness.reason)) == (False, "engine_died")


async def test_an_app_that_has_lost_its_device_is_dead() -> None:
    """Its server answers on; each answer is the same."""
    body = b'{"error": {"message": "CUDA error: device-side assert triggered"}}'
    lost = streams(body, status=500, pace=0.01)
    async with watched(Model(lost), engine="vllm", model="tiny") as (_, runtime):
        await asyncio.sleep(1)
        report = runtime.report()
        assert (report.liveness.live, str(report.liveness.reason)) == (False, "engine_died")


async def test_a_question_that_is_not_understood_accuses_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A wrong key is our fault; it is said once in the log."""
    refused = streams(b'{"error": "unauthorized"}', status=401, pace=0.01)
    async with watched(Model(refused), engine="openai", model="tiny") as (_, runtime):
        await asyncio.sleep(100)
        assert reason(runtime) not in ("canary_timeout", "canary_error")
    told = [m for m in caplog.messages if "the canary cannot be asked rightly" in m]
    assert len(told) == 1


async def test_an_app_without_models_is_unknown_and_not_ill(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing to ask for: say so, and accuse nobody."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with watched(app, engine="openai") as (_, runtime):
        await asyncio.sleep(30)
        assert not runtime.report().readiness.ready
    assert any("/v1/models: HTTP 404" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"engine": "vlm"}, r"'vlm' is not known; .* did you mean vllm\?"),
        ({"endpoint": "generate"}, "endpoint address 'generate'"),
        ({"paths": ["completions"]}, "path 'completions'; accepted: paths that begin with '/'"),
        ({"paths": []}, "paths: none"),
        ({"mount": "health/"}, "mount 'health/'"),
    ],
)
def test_bad_options_are_named(options: dict[str, str], told: str) -> None:
    """When the app is wrapped, before anything runs."""
    runtime = Runtime(settings(), handle_signals=False)
    with pytest.raises(SettingsError, match=told):
        HealthMiddleware(Model(GOOD), runtime=runtime, **options)
