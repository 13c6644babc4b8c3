"""What a frontend answers, path by path."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from serinus.discovery.memory import Memory
from serinus.frontend.answer import Answer, answer_json
from serinus.frontend.app import App
from serinus.frontend.events import Events
from tests.frontend.fleet import NOTREADY, Seen, instance, seen, worker


class Client:
    """Asks an application as a server would."""

    def __init__(self, frontend: Seen, *, token: str | None = None, streams: int = 10) -> None:
        self.events = Events(
            frontend.view,
            frontend.bodies,
            most=streams,
            clock=asyncio.get_running_loop().time,
        )
        self.app = App(
            frontend.settings,
            frontend.bodies,
            self.events,
            token=token,
            metrics=lambda: answer_json(200, "metrics"),
            page=answer_json(200, "page"),
        )

    async def ask(
        self,
        path: str,
        method: str = "GET",
        *,
        peer: str = "10.0.0.9",
        headers: dict[str, str] | None = None,
    ) -> tuple[Answer, bytes]:
        """Return what a request gets."""
        path, _, query = path.partition("?")
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            await asyncio.Event().wait()

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(k.encode(), v.encode()) for k, v in (headers or {}).items()],
            "client": (peer, 4711),
        }
        await self.app(scope, receive, send)
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(sent[0]["status"], sent[0]["headers"], (body,)), body


@asynccontextmanager
async def served(
    *instances: Any, token: str | None = None, **settings: Any
) -> AsyncIterator[tuple[Seen, Client]]:
    """An application over a fleet."""
    store = Memory()
    async with seen(store, **settings) as frontend, worker(store, *instances):
        frontend.refresh()
        yield frontend, Client(frontend, token=token)


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/live", 200, {"status": "live", "message": "Service is live"}),
        ("/v1/models/none/ready", 404, {"message": "Model not found"}),
        ("/v1/models//ready", 404, {"message": "Model not found"}),
        ("/nothing", 404, {"message": "Not found"}),
        ("/", 404, {"message": "Not found"}),
        ("/health/", 404, {"message": "Not found"}),
    ],
)
async def test_paths_have_their_answers(path: str, status: int, told: dict[str, Any]) -> None:
    """The table of what is answered without a fleet."""
    async with served() as (_, client):
        answer, body = await client.ask(path)
        assert answer.status == status
        assert told.items() <= json.loads(body).items()


async def test_health_has_the_shape_of_the_reference() -> None:
    """Status, endpoints, instances; and the stage."""
    async with served(instance(1)) as (_, client):
        answer, body = await client.ask("/health")
        told = json.loads(body)
        assert answer.status == 200
        assert dict(answer.headers)[b"content-type"] == b"application/json"
        assert int(dict(answer.headers)[b"content-length"]) == len(body)
        assert list(told) == ["status", "stage", "endpoints", "instances"]
        assert told["instances"] == [
            {
                "component": "backend",
                "endpoint": "generate",
                "namespace": "demo",
                "instance_id": 1,
                "transport": {"http": "http://10.0.0.1:8000"},
                "status": "ready",
            }
        ]


@pytest.mark.parametrize("no", ["false", "False", "0", "no"])
async def test_instances_are_left_out_for_who_does_not_want_them(no: str) -> None:
    """Probes need the status, and not a megabyte."""
    async with served(instance(1)) as (_, client):
        _, body = await client.ask(f"/health?instances={no}")
        assert list(json.loads(body)) == ["status", "stage", "endpoints"]


@pytest.mark.parametrize("query", ["?instances=true", "?instances=", "?x=1"])
async def test_any_other_query_gets_everything(query: str) -> None:
    """The newer form asks for what the older always has."""
    async with served(instance(1)) as (_, client):
        _, body = await client.ask(f"/health{query}")
        assert len(json.loads(body)["instances"]) == 1


async def test_head_has_the_length_and_no_body() -> None:
    """As GET, without what is sent."""
    async with served(instance(1)) as (_, client):
        whole, text = await client.ask("/health")
        answer, body = await client.ask("/health", "HEAD")
        assert (answer.status, body) == (200, b"")
        assert dict(answer.headers)[b"content-length"] == b"%d" % len(text)
        assert answer.headers == whole.headers


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
async def test_nothing_can_be_changed(method: str) -> None:
    """Only reading is allowed."""
    async with served() as (_, client):
        answer, _ = await client.ask("/health", method)
        assert answer.status == 405
        assert (b"allow", b"GET,HEAD") in answer.headers


async def test_a_listing_that_is_known_is_not_sent_again() -> None:
    """Whoever polls a large fleet brings the tag of what it has."""
    store = Memory()
    async with seen(store) as frontend, worker(store, instance(1)) as other:
        client = Client(frontend)
        answer, _ = await client.ask("/health")
        tag = dict(answer.headers)[b"etag"].decode()
        again, body = await client.ask("/health", headers={"if-none-match": tag})
        assert (again.status, body) == (304, b"")
        other.withdraw("v1/instances/" + instance(1).name)
        await asyncio.sleep(0.5)
        changed, _ = await client.ask("/health", headers={"if-none-match": tag})
        assert changed.status == 200


async def test_an_answer_is_rendered_once_for_all_who_ask() -> None:
    """A request costs no rendering while nothing changes."""
    async with served(*map(instance, range(50))) as (frontend, client):
        await client.ask("/health")
        await client.ask("/health?instances=false")
        before = frontend.bodies.renderings
        for _ in range(20):
            await client.ask("/health")
            await client.ask("/health?instances=false")
        assert frontend.bodies.renderings == before


async def test_details_are_for_this_machine_and_for_who_has_the_token() -> None:
    """Strangers see the bare status."""
    failing = instance(2, NOTREADY, reason="canary_timeout")
    async with served(instance(1), failing, token="swordfish") as (_, client):
        for peer, headers, allowed in (
            ("127.0.0.1", {}, True),
            ("::1", {}, True),
            ("10.0.0.9", {}, False),
            ("10.0.0.9", {"authorization": "Bearer swordfish"}, True),
            ("10.0.0.9", {"authorization": "Bearer tunafish"}, False),
        ):
            _, body = await client.ask("/health?verbose", peer=peer, headers=headers)
            told = json.loads(body)
            assert ("details" in told) is allowed
            assert (b"canary_timeout" in body) is allowed


async def test_details_say_why_and_what_could_not_be_read() -> None:
    """Each instance that is not ready, with its reason; discovery; the pools."""
    failing = instance(2, NOTREADY, reason="canary_timeout")
    async with served(instance(1), failing) as (_, client):
        _, body = await client.ask("/health?verbose", peer="127.0.0.1")
        details = json.loads(body)["details"]
        assert details["not_ready"] == [
            {"instance": failing.name, "reason": "canary_timeout", "since": ""}
        ]
        assert details["endpoints"][0]["reasons"] == {"canary_timeout": 1}
        assert details["discovery"]["connected"] is True
        assert details["foreign"] == {"now": 0, "since_start": 0, "named": {}}


async def test_details_can_be_off() -> None:
    """For nobody, not even on this machine."""
    async with served(instance(1), status_details="off") as (_, client):
        _, body = await client.ask("/health?verbose", peer="127.0.0.1")
        assert "details" not in json.loads(body)


async def test_models_that_can_be_served_are_listed() -> None:
    """In the shape of OpenAI's API."""
    async with served(
        instance(1, model="org/one", worker_type="aggregated"),
        instance(2, model="half", worker_type="decode"),
    ) as (_, client):
        _, body = await client.ask("/v1/models")
        assert [one["id"] for one in json.loads(body)["data"]] == ["org/one"]
        answer, body = await client.ask("/v1/models/org/one/ready")
        assert (answer.status, json.loads(body)["ready"]) == (200, True)
        answer, body = await client.ask("/v1/models/half/ready")
        assert answer.status == 503
        told = json.loads(body)["namespaces"]["demo"]
        assert told == {
            "ready": False,
            "reason": "missing worker types: prefill",
            "worker_types": {"decode": {"workers": 1, "registered": 1, "needs": [["prefill"]]}},
            "present": ["decode"],
            "missing_worker_types": ["prefill"],
        }


async def test_capacity_is_what_may_serve() -> None:
    """For autoscalers: usable instances, and a word when not to scale down."""
    failing = instance(2, NOTREADY, reason="stalled")
    async with served(instance(1), instance(3), failing) as (frontend, client):
        _, body = await client.ask("/capacity")
        told = json.loads(body)
        assert told["endpoints"] == {"demo.backend.generate": {"total": 3, "ready": 2, "usable": 2}}
        assert told["hold_scale_down"] is False
        frontend.store.fail()
        await asyncio.sleep(5)
        frontend.refresh()
        _, body = await client.ask("/capacity")
        assert json.loads(body)["hold_scale_down"] is True


async def test_panic_is_told() -> None:
    """By the endpoints that it is about."""
    async with served(instance(1), *(instance(n, NOTREADY, reason="stalled") for n in (2, 3))) as (
        _,
        client,
    ):
        _, body = await client.ask("/health?instances=false")
        assert json.loads(body)["panic"] == ["dyn://demo.backend.generate"]


async def test_paths_can_be_named() -> None:
    """By the reference's variables."""
    async with served(http_health_path="/fleet", http_live_path="/alive") as (_, client):
        for path, status in (("/fleet", 200), ("/alive", 200), ("/health", 404)):
            answer, _ = await client.ask(path)
            assert answer.status == status


async def test_draining_is_told_at_once_and_is_live_until_it_ends() -> None:
    """So that traffic goes elsewhere and nobody kills what is ending well."""
    async with served(instance(1)) as (frontend, client):
        frontend.view.draining = True
        frontend.refresh()
        answer, body = await client.ask("/health")
        assert (answer.status, json.loads(body)["stage"]) == (503, "draining")
        assert (await client.ask("/live"))[0].status == 200
        client.app.stopping = True
        answer, body = await client.ask("/live")
        assert (answer.status, json.loads(body)["status"]) == (503, "shutting_down")


async def test_requests_are_counted_by_paths_that_are_known() -> None:
    """A scanner makes no series of its own."""
    async with served() as (_, client):
        for path in ("/a", "/b", "/v1/models/x/ready", "/v1/models/y/ready"):
            await client.ask(path)
        assert client.app.requests == {("other", 404): 2, ("/v1/models/{model}/ready", 404): 2}
