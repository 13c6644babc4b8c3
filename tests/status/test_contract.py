"""What the status port answers, row by row of the reference's contract."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from serinus.status import SystemStatusServer, endpoints_json
from tests.status.probe import Client, Response, get

pytestmark = pytest.mark.end_to_end
Serve = Callable[..., SystemStatusServer]

READY = re.compile(
    rb'{"status":"ready","uptime":{"secs":\d+,"nanos":\d+},"endpoints":{"generate":"ready"}}'
)


@pytest.mark.parametrize("mode", ["serinus", "dynamo"])
def test_health_of_a_ready_worker(serve: Serve, mode: str) -> None:
    """200, JSON, and the reference's keys in the reference's order."""
    response = get(serve(live_mode=mode).address, "/health")
    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    assert READY.fullmatch(response.body)


def test_health_of_a_worker_that_is_not_ready(serve: Serve) -> None:
    """503 and the same shape; endpoints may be none."""
    response = get(serve(ready=False, endpoints=b"{}").address, "/health")
    assert response.status == 503
    assert response.json["status"] == "notready"
    assert response.json["endpoints"] == {}


def publish(server: SystemStatusServer, *, ready: bool = True, degraded: bool) -> None:
    """Say how the worker is."""
    endpoints = b'{"generate":"ready"}'
    server.publish(
        ready=ready, live=True, reason="told", endpoints=endpoints, armed=True, degraded=degraded
    )


def header_within(client: Client, path: str, *, wanted: bool) -> Response:
    """Ask until the header is there, or gone; the connection's deadline bounds it."""
    while ("x-envoy-degraded" in (answer := client.ask("GET", path)).headers) is not wanted:
        pass
    return answer


@pytest.mark.parametrize("mode", ["serinus", "dynamo"])
def test_degraded_is_a_header_beside_a_200(serve: Serve, mode: str) -> None:
    """Envoy reads it; liveness does not say it unless both paths are one, and it goes again."""
    server = serve(live_mode=mode)
    publish(server, degraded=True)
    with Client(server.address) as client:
        answer = header_within(client, "/health", wanted=True)
        assert (answer.status, answer.headers["x-envoy-degraded"]) == (200, "true")
        live = client.ask("GET", "/live").headers
        assert ("x-envoy-degraded" in live) is (mode == "dynamo")
        assert "x-envoy-degraded" not in client.ask("GET", "/metrics").headers
        publish(server, degraded=False)
        assert header_within(client, "/health", wanted=False).status == 200


def test_what_is_not_ready_is_not_called_degraded(serve: Serve) -> None:
    """A 503 says more, and says it alone."""
    server = serve()
    publish(server, ready=False, degraded=True)
    with Client(server.address) as client:
        while (answer := client.ask("GET", "/health")).status == 200:
            pass
        assert "x-envoy-degraded" not in answer.headers


def test_live_is_not_ready(serve: Serve) -> None:
    """Liveness has the same structure and its own words, and stays 200 without readiness."""
    response = get(serve(ready=False).address, "/live")
    assert response.status == 200
    assert list(response.json) == ["status", "uptime", "endpoints"]
    assert response.json["status"] == "live"


def test_live_says_notlive(serve: Serve) -> None:
    """A worker that says that a restart would help is not live."""
    server = serve()
    server.publish(ready=False, live=False, reason="hang", endpoints=b"{}", armed=True)
    with Client(server.address) as client:
        while (response := client.ask("GET", "/live")).status == 200:
            pass
    assert response.status == 503
    assert response.json["status"] == "notlive"


def test_live_in_dynamo_mode_is_health(serve: Serve) -> None:
    """In the reference both paths have one handler: one answer, in the same words."""
    server = serve(ready=False, live_mode="dynamo")
    answers = [get(server.address, path) for path in ("/health", "/live")]
    assert [answer.status for answer in answers] == [503, 503]
    assert [answer.json["status"] for answer in answers] == ["notready", "notready"]


@pytest.mark.parametrize("path", ["/health", "/live", "/metrics", "/nowhere"])
def test_head_is_get_without_the_body(serve: Serve, path: str) -> None:
    """HEAD has GET's status and headers, the length of its body, and no body."""
    with Client(serve().address) as client:
        head = client.ask("HEAD", path)
        body = client.ask("GET", path)
    assert head.status == body.status
    assert head.body == b""
    assert head.headers["content-type"] == body.headers["content-type"]
    # The uptime's digits and the counters move on between the two.
    assert abs(int(head.headers["content-length"]) - len(body.body)) < 200


@pytest.mark.parametrize("path", ["/health", "/live", "/metrics"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"])
def test_other_methods_are_refused(serve: Serve, method: str, path: str) -> None:
    """405, empty, with what is allowed."""
    response = _ask(serve().address, method, path)
    assert response.status == 405
    assert response.headers["allow"] == "get,head"
    assert response.body == b""
    assert "content-type" not in response.headers


@pytest.mark.parametrize("path", ["/health?x=1", "/health?", "/health?verbose=false&a=b?c"])
def test_the_query_is_ignored(serve: Serve, path: str) -> None:
    """A query changes nothing, unless it asks for details."""
    response = get(serve().address, path)
    assert response.status == 200
    assert READY.fullmatch(response.body)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/", "/health/", "/HEALTH", "//health", "/engine/none", "*"])
def test_other_paths_are_not_found(serve: Serve, path: str, method: str) -> None:
    """404, whatever the method, in the reference's words."""
    response = _ask(serve().address, method, path)
    assert response.status == 404
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.body == b"Route not found"


def test_the_paths_can_be_others(serve: Serve) -> None:
    """The configured paths answer, the usual ones are then unknown."""
    address = serve(health_path="/healthz", live_path="/livez").address
    statuses = [get(address, path).status for path in ("/healthz", "/livez", "/health", "/live")]
    assert statuses == [200, 200, 404, 404]


def test_metrics_are_prometheus_text(serve: Serve) -> None:
    """200 in the exposition format, whose version the content type names."""
    response = get(serve().address, "/metrics")
    assert response.status == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"# TYPE serinus_status_requests_total counter" in response.body


@pytest.mark.parametrize("count", [100, 1000, 10_000])
def test_any_number_of_endpoints(serve: Serve, count: int) -> None:
    """A body of any size arrives whole, over one connection as often as it is asked for."""
    states = {f"endpoint{number}": "ready" for number in range(count)}
    with Client(serve(endpoints=endpoints_json(states)).address) as client:
        for _ in range(3):
            assert client.ask("GET", "/health").json["endpoints"] == states


def _ask(address: str, method: str, path: str) -> Response:
    with Client(address) as client:
        return client.ask(method, path)
