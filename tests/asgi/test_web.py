"""A real FastAPI server under uvicorn, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).resolve().parents[2]


class Web:
    """The server: its own port, and its status port."""

    def __init__(self, folder: Path) -> None:
        self.port, self.status = _free(), _free()
        self.log = folder / "log"
        environ = {
            "PYTHONPATH": str(ROOT / "src"),
            "DYN_SYSTEM_PORT": str(self.status),
            "DYN_SYSTEM_HOST": "127.0.0.1",
            "DYN_HEALTH_CHECK_ENABLED": "true",
            "DYN_CANARY_WAIT_TIME": "0.5",
            "DYN_HEALTH_CHECK_REQUEST_TIMEOUT": "1",
            "SERINUS_ASGI_ENGINE": "openai",
            "SERINUS_ASGI_ENDPOINT": "demo.web.chat",
        }
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "tests/asgi/web.py"), str(self.port)],
                env={**os.environ, **environ},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def get(self, path: str) -> str:
        """Ask the app."""
        return _get(f"http://127.0.0.1:{self.port}{path}")[1]

    def health(self) -> tuple[int, dict[str, Any]]:
        """Ask the status port, with details."""
        code, body = _get(f"http://127.0.0.1:{self.status}/health?verbose")
        return code, json.loads(body) if body else {}

    def endpoint(self) -> dict[str, Any]:
        """Return what is told of the endpoint."""
        told: dict[str, Any] = self.health()[1]["details"]["endpoints"]["demo.web.chat"]
        return told

    def until(self, condition: Callable[[], bool], *, what: str) -> None:
        """Wait for a condition, at most a minute."""
        end = time.monotonic() + 60
        while not condition():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, f"{what}: not within 60 s; {self.health()}"
            time.sleep(0.02)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A server that has proven itself."""
    server = Web(tmp_path)
    try:
        server.until(lambda: server.health()[0] == 200, what="the first canary")
        yield server
    finally:
        server.process.kill()
        server.process.wait(20)


def test_one_line_in_a_fastapi_app_proves_it_and_finds_its_hang(web: Web) -> None:
    """Ready by a canary that no user sent; not ready in the hang, and back after it."""
    assert web.endpoint()["reason"] == "canary"
    web.get("/fault/hang")
    web.until(lambda: web.health()[0] == 503, what="not ready")
    assert web.endpoint()["reason"] == "canary_timeout"
    web.get("/fault/none")
    web.until(lambda: web.health()[0] == 200, what="ready again")


def test_users_streams_are_counted_and_those_who_leave_are_no_errors(web: Web) -> None:
    """Through uvicorn's own disconnect."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{web.port}/v1/completions",
        data=json.dumps({"model": "tiny", "max_tokens": 5}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.read().count(b"data: {") == 5
    body = json.dumps({"model": "tiny", "max_tokens": 100_000}).encode()
    with socket.create_connection(("127.0.0.1", web.port)) as leaver:
        leaver.sendall(
            b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(body), body)
        )
        while b"data: {" not in leaver.recv(65536):
            pass
        web.until(lambda: web.endpoint()["in_flight"] == 1, what="work in flight")
    web.until(lambda: web.endpoint()["in_flight"] == 0, what="the end of it")
    assert web.health()[0] == 200
    metrics = _get(f"http://127.0.0.1:{web.status}/metrics")[1]
    assert "cancelled" in metrics


def test_sigterm_is_heard_before_the_server_acts_on_it(web: Web) -> None:
    """Not ready while a stream still runs; then the process ends by itself."""
    body = json.dumps({"model": "tiny", "max_tokens": 300}).encode()
    with socket.create_connection(("127.0.0.1", web.port)) as user:
        user.sendall(
            b"POST /v1/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
            b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
        )
        got = user.recv(65536)
        web.process.send_signal(signal.SIGTERM)
        codes = set()
        while piece := user.recv(65536):
            got += piece
            codes.add(web.health()[0])
    assert got.count(b"data: {") == 300
    assert 503 in codes
    assert web.process.wait(30) == 0 or web.process.returncode == -signal.SIGTERM


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""
