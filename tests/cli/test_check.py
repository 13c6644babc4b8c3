"""`serinus check`: one line and an exit code, quickly, of whatever speaks the contract."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import UnixStreamServer

import pytest

from serinus.cli import main
from serinus.cli.probe import Address

READY = {"status": "ready", "uptime": {"secs": 1, "nanos": 2}, "endpoints": {"generate": "ready"}}
NOT_READY = {**READY, "status": "notready", "endpoints": {"generate": "notready"}}
STRANGE = "it answered HTTP 404, which is not that of a status port"
EVIDENCE = "canary failed: timeout after 3.001 s"
DETAILED = {
    **NOT_READY,
    "details": {
        "readiness": {"status": "notready", "why": "1 of 2 not ready"},
        "liveness": {"live": False, "why": "a.b.generate: canary_timeout"},
        "endpoints": {
            "a.b.generate": {
                "status": "notready",
                "reason": "canary_timeout",
                "evidence": EVIDENCE,
            },
            "a.c.generate": {"status": "ready", "reason": "traffic", "evidence": "progress"},
        },
    },
}


class Answers(BaseHTTPRequestHandler):
    """Answers as a status port would; what, is set on the server."""

    def do_GET(self) -> None:
        """Give the answer."""
        server = self.server
        assert isinstance(server, Port | UnixPort)
        server.asked.append((self.path, self.headers.get("authorization")))
        status, body = server.answer
        self.send_response(status)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(body)))
        if server.degraded:
            self.send_header("x-envoy-degraded", "true")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Port(ThreadingHTTPServer):
    """A status port with an answer to give, and what it was asked."""

    answer: tuple[int, bytes] = (200, b"")
    degraded = False

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, Answers)
        self.asked: list[tuple[str, str | None]] = []


class UnixPort(UnixStreamServer):
    """The same on a unix socket."""

    answer: tuple[int, bytes] = (200, b"")
    degraded = False

    def __init__(self, path: str) -> None:
        super().__init__(path, Answers)
        self.asked: list[tuple[str, str | None]] = []

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Give the peer a name, which the handler wants."""
        request, _ = super().get_request()
        return request, ("unix", 0)


Serve = Callable[[int, object], Port]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve an answer on a port of loopback."""
    opened: list[Port] = []

    def start(status: int, body: object) -> Port:
        port = Port(("127.0.0.1", 0))
        port.answer = (status, body if isinstance(body, bytes) else json.dumps(body).encode())
        opened.append(port)
        threading.Thread(target=port.serve_forever, args=(0.01,), daemon=True).start()
        return port

    yield start
    for port in opened:
        port.shutdown()
        port.server_close()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The surroundings say nothing."""
    for name in ("DYN_SYSTEM_PORT", "SERINUS_STATUS_SOCKET", "SERINUS_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def check(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Check, and return the exit code and what was printed."""
    code = main(["check", *words])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


@pytest.mark.parametrize(
    "case",
    [
        (200, READY, "", 0, "ready: http://{}/health: generate ready"),
        (200, READY, "--live", 0, "live: http://{}/live: generate ready"),
        (503, NOT_READY, "", 1, "not ready: http://{}/health: generate notready"),
        (
            503,
            DETAILED,
            "",
            1,
            f"not ready: http://{{}}/health: a.b.generate: canary_timeout, {EVIDENCE}",
        ),
        (
            503,
            DETAILED,
            "--live",
            1,
            "not live: http://{}/live: a.b.generate: canary_timeout",
        ),
        (
            200,
            {"status": "healthy", "endpoints": ["dyn://a.b.c"], "instances": []},
            "",
            0,
            "ready: http://{}/health",
        ),
        (
            503,
            {"status": "not_ready", "stage": "x"},
            "",
            1,
            "not ready: http://{}/health: not_ready",
        ),
        (503, b"no healthy upstream", "", 1, "not ready: http://{}/health"),
        (500, b"", "", 1, "not ready: http://{}/health"),
        (
            404,
            b"Route not found",
            "",
            2,
            f"unreachable: http://{{}}/health: {STRANGE}",
        ),
    ],
)
def test_the_answer_becomes_a_line_and_a_code(
    serve: Serve, capsys: pytest.CaptureFixture[str], case: tuple[int, object, str, int, str]
) -> None:
    """Serinus's, with and without details; Dynamo's worker and frontend; a proxy's."""
    status, body, flags, code, line = case
    address = f"127.0.0.1:{serve(status, body).server_address[1]}"
    assert check(capsys, address, *flags.split()) == (code, line.format(address) + "\n")


def test_details_are_asked_for_with_the_token(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where details are for those who have it; a server that knows no query ignores it."""
    monkeypatch.setenv("SERINUS_STATUS_TOKEN", "swordfish")
    port = serve(200, READY)
    code, said = check(capsys, str(port.server_address[1]))
    assert code == 0
    assert port.asked == [("/health?verbose", "Bearer swordfish")]
    assert "swordfish" not in said


def test_the_paths_and_the_port_of_the_settings_are_asked(
    serve: Serve, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe in the worker's own container needs no argument."""
    port = serve(200, READY)
    monkeypatch.setenv("DYN_SYSTEM_PORT", str(port.server_address[1]))
    monkeypatch.setenv("DYN_SYSTEM_HEALTH_PATH", "/healthz")
    monkeypatch.setenv("DYN_SYSTEM_LIVE_PATH", "/livez")
    assert check(capsys)[0] == check(capsys, "--live")[0] == 0
    assert [path for path, _ in port.asked] == ["/healthz?verbose", "/livez?verbose"]


def test_an_address_with_a_path_is_asked_there(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the settings say."""
    port = serve(200, READY)
    url = f"http://127.0.0.1:{port.server_address[1]}/my/health"
    assert check(capsys, url)[0] == 0
    assert port.asked[0][0] == "/my/health?verbose"


def test_json_is_for_programs(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    """One object, with the body that came."""
    port = serve(503, NOT_READY)
    address = f"127.0.0.1:{port.server_address[1]}"
    code, said = check(capsys, address, "--json")
    assert code == 1
    assert json.loads(said) == {
        "address": f"http://{address}/health",
        "result": "not ready",
        "why": "generate notready",
        "status": 503,
        "body": NOT_READY,
        "degraded": False,
    }


def test_a_unix_socket_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By a flag, by an address, and by the settings."""
    path = str(tmp_path / "status.sock")
    with UnixPort(path) as port:
        port.answer = (200, json.dumps(READY).encode())
        thread = threading.Thread(target=port.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        line = f"ready: unix:{path} /health: generate ready\n"
        assert check(capsys, "--socket", path) == (0, line)
        assert check(capsys, f"unix:{path}") == (0, line)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SERINUS_STATUS_SOCKET", path)
            assert check(capsys) == (0, line)
        port.shutdown()
        thread.join(5)


@pytest.fixture
def raw() -> Iterator[Callable[[bytes], int]]:
    """Serve raw bytes to whoever connects, on a port of loopback."""
    listeners: list[socket.socket] = []

    def start(answer: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def give() -> None:
            with listener.accept()[0] as connection:
                connection.recv(65536)
                connection.sendall(answer)

        threading.Thread(target=give, daemon=True).start()
        port: int = listener.getsockname()[1]
        return port

    yield start
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "no answer: it hung up"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "its answer is not HTTP: 'SSH-2.0-OpenSSH_9.2'"),
    ],
)
def test_what_is_no_answer_is_unreachable(
    raw: Callable[[bytes], int], capsys: pytest.CaptureFixture[str], answer: bytes, why: str
) -> None:
    """2, and told from "not ready": nobody said that it is not."""
    port = raw(answer)
    said = f"unreachable: http://127.0.0.1:{port}/health: {why}\n"
    assert check(capsys, str(port)) == (2, said)


def test_chunks_are_read(raw: Callable[[bytes], int], capsys: pytest.CaptureFixture[str]) -> None:
    """Some proxies make them of everything."""
    body = json.dumps(READY).encode()
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    port = raw(head + b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (9, body[:9], len(body) - 9, body[9:]))
    assert check(capsys, str(port))[1].endswith("/health: generate ready\n")


def test_a_closed_port_is_unreachable(capsys: pytest.CaptureFixture[str]) -> None:
    """And says why."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    said = f"unreachable: http://127.0.0.1:{port}/health: Connection refused\n"
    assert check(capsys, str(port)) == (2, said)


def test_silence_is_unreachable_within_the_timeout(capsys: pytest.CaptureFixture[str]) -> None:
    """The whole answer counts, not each of its bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"

        def drip() -> None:
            with listener.accept()[0] as connection:
                try:
                    for _ in range(100):
                        connection.sendall(b"H")
                        time.sleep(0.05)
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        said = f"unreachable: http://{address}/health: no answer within 0.3 s\n"
        assert check(capsys, address, "--timeout", "0.3") == (2, said)
        assert time.monotonic() - began < 2
        thread.join()


ACCEPTED = "accepted: PORT, HOST:PORT, http://HOST:PORT with or without a path, or unix:PATH"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["foo"], f"'foo' is not an address to ask; {ACCEPTED}"),
        (["0"], f"'0' is not an address to ask; {ACCEPTED}"),
        (["70000"], f"'70000' is not an address to ask; {ACCEPTED}"),
        (["https://a:9090"], f"'https://a:9090' is not an address to ask; {ACCEPTED}"),
        (["http://a"], f"'http://a' is not an address to ask; {ACCEPTED}"),
        (["http://a:1/x?y"], f"'http://a:1/x?y' is not an address to ask; {ACCEPTED}"),
        (["http://u:p@a:1"], f"the address (not shown) is not an address to ask; {ACCEPTED}"),
        (["unix:"], f"'unix:' is not an address to ask; {ACCEPTED}"),
        (["1", "--timeout", "soon"], "--timeout: 'soon'; accepted: seconds up to 3600"),
        (["1", "--timeout", "0"], "--timeout: '0'; accepted: seconds up to 3600"),
        (["1", "--timeout", "nan"], "--timeout: 'nan'; accepted: seconds up to 3600"),
        (["1", "--socket", "x"], "an address and --socket are both given; accepted: one of them"),
    ],
)
def test_what_cannot_be_asked_is_said(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    """Exit code 2, like everything that is no verdict."""
    assert check(capsys, *words) == (2, f"serinus: error: {message}\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("9090", "http://127.0.0.1:9090"),
        (":9090", "http://127.0.0.1:9090"),
        ("pod:9090", "http://pod:9090"),
        ("http://pod:9090/", "http://pod:9090"),
        ("http://[::1]:9090/live", "http://[::1]:9090/live"),
        ("unix:///run/x.sock", "unix:/run/x.sock"),
    ],
)
def test_addresses_are_read_as_people_write_them(text: str, shown: str) -> None:
    """In any of the usual forms."""
    assert str(Address.parse(text)) == shown


@pytest.mark.end_to_end
def test_a_probe_starts_without_asyncio_and_an_http_client() -> None:
    """It is run every few seconds, on a machine that has better to do."""
    code = (
        "import sys, serinus.cli as c; c.main(['check', '127.0.0.1:1']);"
        "print(*sys.modules, file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    loaded = set(run.stderr.split())
    assert "serinus.cli.check" in loaded
    assert {"asyncio", "http.client", "ssl", "aiohttp", "logging"}.isdisjoint(loaded)
    assert run.stdout == "unreachable: http://127.0.0.1:1/health: Connection refused\n"


def test_help_has_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever writes a probe needs them."""
    assert main(["check", "--help"]) == 0
    out = capsys.readouterr().out
    assert "0 ready (with --live: live) · 1 not" in out


def test_one_that_is_withheld_for_being_slow_says_what_is_off(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its last proof is no reason: it was a good one."""
    told = {
        "status": "notready",
        "reason": "degraded",
        "evidence": "canary: first item after 0.048 s, done after 0.048 s",
        "flaws": {"slow_first_token": "8.2 times as long as usual"},
    }
    port = serve(
        503, {**NOT_READY, "details": {"readiness": {"why": "x"}, "endpoints": {"a": told}}}
    )
    code, text = check(capsys, str(port.server_port))
    assert code == 1
    assert text.strip().endswith(": a: degraded, slow_first_token (8.2 times as long as usual)")


def test_one_that_is_not_there_yet_says_what_is_in_the_way(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that does not resolve is a closed port by its phase alone."""
    told = {
        "status": "notready",
        "reason": "port_closed",
        "evidence": "loading: port closed",
        "notes": {"contact": "its name is not resolved: no such name"},
    }
    port = serve(
        503, {**NOT_READY, "details": {"readiness": {"why": "x"}, "endpoints": {"a": told}}}
    )
    code, text = check(capsys, str(port.server_port))
    assert code == 1
    said = "loading: port closed (its name is not resolved: no such name)"
    assert text.strip().endswith(f": a: port_closed, {said}")


def test_verbose_says_who_decided_and_who_disagreed(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every witness has a line; trouble of our own comes last."""
    health = {"says": "well", "seconds_ago": 1.1, "weight": 0.25, "word": "200"}
    told = {
        "status": "notready",
        "reason": "canary_timeout",
        "verdict": "decided by canary 0.2 s ago; disagree: own health (200, 1.1 s ago)",
        "witnesses": {"own health": health},
    }
    own = {
        "last_trouble": "trouble of our own for 2.0 s: late",
        "last_trouble_seconds_ago": 61,
        "lost_at_once": None,
    }
    details = {"readiness": {"why": "x"}, "endpoints": {"a.b.c": told}, "self": own}
    port = serve(503, {**NOT_READY, "details": details})
    code, text = check(capsys, str(port.server_port), "--verbose")
    assert code == 1
    assert text.splitlines()[1:] == [
        (
            "  a.b.c: not ready (canary_timeout): decided by canary 0.2 s ago; "
            "disagree: own health (200, 1.1 s ago)"
        ),
        "    own health: well, 1.1 s ago, weight 0.25: 200",
        "  self: trouble of our own for 2.0 s: late, 61.0 s ago",
    ]


@pytest.mark.parametrize("live", [False, True])
def test_a_worker_that_cannot_speak_for_itself_is_the_reason(
    serve: Serve, capsys: pytest.CaptureFixture[str], live: bool
) -> None:
    """Its last word, "all ready", is not: the status process answers otherwise."""
    details = {
        "readiness": {"status": "ready", "why": "all 1 ready"},
        "liveness": {"why": ""},
        "worker": {"state": "process_stopped", "reason": "process_stopped", "loop_age": 6.04},
        "details_age": 6.1,
    }
    port = serve(503, {**NOT_READY, "details": details})
    more = ["--live"] if live else []
    code, text = check(capsys, str(port.server_port), "--verbose", *more)
    assert code == 1
    first, second, *_ = text.splitlines()
    stopped = "its process has been stopped (SIGSTOP, or a debugger) for 6.0 s"
    assert first.endswith(f": {stopped}")
    assert second == f"  worker: {stopped}; what follows is its last word, 6.1 s old"


@pytest.mark.parametrize(
    "details",
    [
        {},
        {"endpoints": {"a": 3, "b": {"witnesses": [1]}}, "self": 4},
        {"worker": {"reason": ["process_stopped"], "loop_age": "x"}, "self": {"last_trouble": 3}},
    ],
)
def test_verbose_takes_whatever_comes(
    serve: Serve, capsys: pytest.CaptureFixture[str], details: dict[str, object]
) -> None:
    """Other servers have other details, or none."""
    port = serve(200, {**READY, "details": details})
    code, text = check(capsys, str(port.server_port), "--verbose")
    assert code == 0
    assert ("no details" in text) is not bool(details)


def test_degraded_is_ready_and_says_what_is_off(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code stays 0; `--strict` takes it for not ready."""
    flaws = {"slow_first_token": "0.9 s, usually 0.1 s"}
    endpoints = {"a.b.generate": {"status": "ready", "flaws": flaws}}
    port = serve(200, {**READY, "details": {"endpoints": endpoints}})
    port.degraded = True
    address = f"127.0.0.1:{port.server_port}"
    code, printed = check(capsys, address)
    told = "degraded: a.b.generate: slow_first_token (0.9 s, usually 0.1 s)"
    assert (code, printed) == (0, f"ready: http://{address}/health: {told}\n")
    assert check(capsys, address, "--strict") == (1, printed)
    assert json.loads(check(capsys, address, "--json")[1])["degraded"] is True


def test_strict_is_content_with_what_is_not_degraded(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ready is ready."""
    port = serve(200, READY)
    assert check(capsys, f"127.0.0.1:{port.server_port}", "--strict")[0] == 0
