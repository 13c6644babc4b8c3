"""How connections are treated: the good ones, the slow, the silent and the hostile."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from serinus.status import SystemStatusServer, endpoints_json
from tests.status.probe import Client, Closed, eventually, get
from tests.status.workers import Worker

pytestmark = pytest.mark.end_to_end
Serve = Callable[..., SystemStatusServer]
REQUEST = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def evictions(address: str) -> dict[str, int]:
    """How many connections were closed, by reason."""
    text = get(address, "/metrics").body.decode()
    found = {}
    for line in text.splitlines():
        if line.startswith("serinus_status_evictions_total"):
            name, _, count = line.rpartition(" ")
            found[name.split('"')[1]] = int(count)
    return found


def test_a_connection_is_kept(serve: Serve) -> None:
    """One connection carries any number of requests of all kinds."""
    with Client(serve().address) as client:
        for path, status in [("/health", 200), ("/live", 200), ("/x", 404), ("/metrics", 200)] * 3:
            assert client.ask("GET", path).status == status


def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    """Many requests in one piece, with metrics that are waited for among them."""
    paths = ["/health", "/metrics", "/nowhere", "/live?verbose", "/health"] * 50
    with Client(serve().address) as client:
        client.send(b"".join(b"GET %s HTTP/1.1\r\n\r\n" % path.encode() for path in paths))
        statuses = [client.receive().status for _ in paths]
    assert statuses == [404 if path == "/nowhere" else 200 for path in paths]


def test_large_pipelined_answers_wait_for_their_reader(serve: Serve) -> None:
    """Answers that fill the socket are sent as they are read, all of them, whole."""
    states = {f"endpoint{number}": "ready" for number in range(10_000)}
    with Client(serve(endpoints=endpoints_json(states)).address) as client:
        client.send(REQUEST * 60)
        time.sleep(0.2)
        for _ in range(60):
            assert client.receive().json["endpoints"] == states


@pytest.mark.parametrize(
    ("request_bytes", "connection"),
    [
        (b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n", "close"),
        (b"GET /health HTTP/1.0\r\n\r\n", "close"),
        (b"POST /health HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", "close"),
        (b"GET /health HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "close"),
    ],
)
def test_a_last_answer(serve: Serve, request_bytes: bytes, connection: str) -> None:
    """Each of these is answered, says that it is the last, and is."""
    for _ in range(2):  # the second time the bytes are known
        with Client(serve().address) as client:
            client.send(request_bytes)
            assert client.receive().headers["connection"] == connection
            assert client.closed_within(2.0)


def test_http_1_0_can_keep_its_connection(serve: Serve) -> None:
    """If it asks to, and is told so."""
    with Client(serve().address) as client:
        for _ in range(3):
            client.send(b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert client.receive().headers["connection"] == "keep-alive"


def test_a_large_body_does_not_lose_the_answer(serve: Serve) -> None:
    """The client gets its 405 although it has not finished sending 10 MB."""
    with Client(serve().address) as client:
        client.send(b"POST /health HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n")
        client.send(b"x" * 10_000_000)
        assert client.receive().status == 405
        assert client.closed_within(2.0)


def test_a_request_in_pieces(serve: Serve) -> None:
    """Byte by byte is slow, and fine."""
    with Client(serve().address) as client:
        for byte in REQUEST:
            client.send(bytes([byte]))
        assert client.receive().status == 200


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\n\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /" + b"a" * 20_000, 431),
        (REQUEST[:-2] + b"A: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    ],
)
def test_nonsense_is_refused(serve: Serve, data: bytes, status: int) -> None:
    """It gets its code, its connection ends, and the next caller sees nothing of it."""
    address = serve().address
    with Client(address) as client:
        client.send(data)
        assert client.receive().status == status
        assert client.closed_within(2.0)
    assert get(address, "/health").status == 200


def test_ten_megabytes_of_headers(serve: Serve) -> None:
    """431 as soon as it is too much; what comes after is not kept."""
    with Client(serve().address) as client:
        with contextlib.suppress(OSError):
            client.send(REQUEST[:-2] + b"A: " + b"a" * 10_000_000)
        assert client.receive().status == 431


def test_thousands_of_bad_requests(serve: Serve) -> None:
    """A flood of them leaves the port as it was."""
    address = serve().address
    for number in range(1000):
        with Client(address) as client:
            client.send(os.urandom(number % 64 + 1))
    assert get(address, "/health").status == 200
    assert evictions(address)["fault"] == 0


def test_slow_headers_are_refused(serve: Serve) -> None:
    """A request that does not become whole in time gets 408 and its connection ends."""
    address = serve(header_timeout=0.3).address
    with Client(address) as client:
        start = time.monotonic()
        client.send(REQUEST[:20])
        assert client.receive().status == 408
        assert 0.3 <= time.monotonic() - start < 2.0
        assert client.closed_within(2.0)


def test_trickled_headers_do_not_renew_their_time(serve: Serve) -> None:
    """A byte now and then keeps no connection open."""
    with Client(serve(header_timeout=0.3).address) as client:
        start = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - start < 3.0:
                client.send(b"G")
                time.sleep(0.05)
        assert time.monotonic() - start < 3.0


def test_silent_connections_are_closed(serve: Serve) -> None:
    """One that sends nothing ends after the header time, one that idles after the idle time."""
    address = serve(header_timeout=0.5, idle_timeout=1.0).address
    with Client(address) as silent, Client(address) as idle:
        assert idle.ask("GET", "/health").status == 200
        assert silent.closed_within(5.0)
        assert idle.closed_within(5.0)
    counts = evictions(address)
    assert (counts["header_timeout"], counts["idle_timeout"]) == (1, 1)


def test_the_oldest_idle_connection_makes_room(serve: Serve) -> None:
    """Beyond the limit every newcomer is served, and who was idle longest goes."""
    address = serve(max_connections=4).address
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(4):
            clients.append(stack.enter_context(Client(address)))
            assert clients[-1].ask("GET", "/health").status == 200
        assert clients[0].ask("GET", "/health").status == 200
        newcomer = stack.enter_context(Client(address))
        assert newcomer.ask("GET", "/health").status == 200
        assert clients[1].closed_within(2.0)
        assert clients[0].ask("GET", "/health").status == 200
        assert evictions(address)["limit"] >= 1


def test_a_reader_that_does_not_read_is_not_waited_for(serve: Serve) -> None:
    """Answers that nobody takes hold up nobody else."""
    states = {f"endpoint{number}": "ready" for number in range(10_000)}
    address = serve(endpoints=endpoints_json(states)).address
    with Client(address) as lazy:
        with contextlib.suppress(TimeoutError):
            lazy.sock.settimeout(1.0)
            lazy.send(REQUEST * 1000)
        for _ in range(20):
            start = time.monotonic()
            assert get(address, "/live").status == 200
            assert time.monotonic() - start < 1.0


def test_few_descriptors_and_many_idle_connections(start_worker: Callable[..., Worker]) -> None:
    """With 1,024 descriptors and 1,500 idle connections, a probe is answered at once."""
    worker = start_worker(descriptors=1024, max_connections=5000)
    host, _, port = worker.address.removeprefix("http://").rpartition(":")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2000 and hard >= 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    with contextlib.ExitStack() as stack:
        for _ in range(1500):
            sock = stack.enter_context(socket.socket())
            sock.settimeout(5.0)
            sock.connect((host, int(port)))
        slowest = 0.0
        for _ in range(20):
            start = time.monotonic()
            assert get(worker.address, "/health").status == 200
            slowest = max(slowest, time.monotonic() - start)
    assert slowest < 1.0  # the patience of a probe
    assert evictions(worker.address)["limit"] >= 1500 - 1024
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("paths", [["/metrics"], ["/health?verbose", "/health"]])
def test_a_caller_that_leaves_while_it_waits(serve: Serve, paths: list[str]) -> None:
    """A connection that is reset while its answer is being prepared harms nobody."""
    address = serve().address
    for path in paths:
        for _ in range(50):
            with Client(address) as client:
                client.send(b"GET %s HTTP/1.1\r\n\r\n" % path.encode())
                client.sock.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
                )  # close() resets
    assert get(address, "/health").status == 200
    assert evictions(address)["fault"] == 0


def test_a_caller_that_says_it_will_send_no_more(serve: Serve) -> None:
    """A half-closed connection still gets its answer, also one that is waited for."""
    for path in ("/health", "/metrics"):
        with Client(serve().address) as client:
            client.send(b"GET %s HTTP/1.1\r\n\r\n" % path.encode())
            client.sock.shutdown(socket.SHUT_WR)
            assert client.receive().status == 200
            assert client.closed_within(2.0)


def test_a_unix_socket(serve: Serve, tmp_path: Path) -> None:
    """The same answers over a unix socket; its peers may see details, its file goes at the end."""
    path = tmp_path / "status.sock"
    server = serve(socket_path=str(path))
    assert server.port is None
    assert get(server.address, "/health").status == 200
    assert "details" in get(server.address, "/health?verbose").json
    server.close()
    assert not path.exists()


def test_details_are_for_those_who_may_see_them(serve: Serve) -> None:
    """Loopback may by default; a request that a proxy passed on, or without the token, may not."""
    address = serve().address
    assert "details" in get(address, "/health?verbose").json
    assert "details" not in get(address, "/health?verbose", "X-Forwarded-For: 1.2.3.4").json
    address = serve(details="token", token="schlüssel").address
    assert "details" not in get(address, "/health?verbose").json
    assert "details" not in get(address, "/health?verbose", "Authorization: Bearer x").json
    assert "details" in get(address, "/health?verbose", "Authorization: Bearer schlüssel").json


def test_the_token_is_in_no_argument_and_no_environment(serve: Serve) -> None:
    """Whoever lists processes learns nothing."""
    server = serve(details="token", token="very-secret")
    for name in ("cmdline", "environ"):
        assert b"very-secret" not in Path(f"/proc/{server.child_pid}/{name}").read_bytes()


def test_the_port_is_free_after_close(serve: Serve) -> None:
    """Closing ends every connection and refuses new ones, at once and for good."""
    server = serve()
    with Client(server.address) as client:
        assert client.ask("GET", "/health").status == 200
        start = time.monotonic()
        server.close()
        assert time.monotonic() - start < 1.0
        with pytest.raises((Closed, OSError)):
            client.ask("GET", "/health")
    with pytest.raises(ConnectionRefusedError):
        get(server.address, "/health")
    assert eventually(lambda: serve(port=server.port).port == server.port)
