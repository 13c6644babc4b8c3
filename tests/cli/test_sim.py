"""`serinus sim`: help, mistakes, and the program as a process with its signals."""

from __future__ import annotations

import http.client
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from serinus.cli import main
from serinus.sim.faults import Fault

ACCEPTED = ", ".join(Fault)
DURATION = "accepted: a duration as 500ms, 20, 20s, 2m or 1h"


def test_the_help_teaches_every_fault_and_shows_an_example(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone who has only `--help` can plan a fault and put one on."""
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["sim", "--help"]) == 0
    out = capsys.readouterr().out
    for fault in Fault:
        assert re.search(rf"^  {fault} +\w", out, re.MULTILINE), fault
    for said in ("--fault hang@30s+20s", '/_sim/faults -d \'{"fault":"hang"', "exit codes:"):
        assert said in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--fault hnag@3", f"--fault 'hnag@3': unknown fault 'hnag'; accepted: {ACCEPTED}"),
        (
            "--fault hang@soon",
            "--fault 'hang@soon': 'soon' is not a duration; accepted: 500ms, 20, 20s, 2m, 1h",
        ),
        (
            "--engine tgi",
            "--engine 'tgi': accepted: vllm or sglang or llamacpp or transformers or openai",
        ),
        ("--port http", "--port 'http': accepted: a whole number"),
        ("--port 70000", "--port 70000: a whole number from 0 to 65535 is accepted"),
        ("--slots 0", "--slots 0: a whole number from 1 to 100000 is accepted"),
        ("--slots 2.5", "--slots '2.5': accepted: a whole number"),
        ("--queue -1", "--queue -1: a whole number from 0 to 100000 is accepted"),
        ("--step 0", "--step 0: from 0.0001 to 86400 seconds are accepted"),
        ("--step fast", "--step 'fast': accepted: a duration as 500ms, 20, 20s, 2m or 1h"),
        (
            "--load-seconds 2d",
            "--load-seconds '2d': accepted: a duration as 500ms, 20, 20s, 2m or 1h",
        ),
        ("--load-shape slow", "--load-shape 'slow': accepted: closed or empty or staged"),
        ("--model ''", "--model: a name is accepted, not an empty one"),
        ("--context 1", "--context 1: a whole number from 2 to 10000000 is accepted"),
    ],
)
def test_a_mistake_is_named_with_what_is_accepted(
    capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    """Exit code 2, one line on the standard error, nothing on the standard output."""
    assert main(["sim", *shlex.split(words)]) == 2
    assert capsys.readouterr() == ("", f"serinus: error: {message}\n")


def test_a_port_in_use_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """The program ends instead of serving nobody."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        assert main(["sim", "--port", str(port)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(
        f"serinus: error: --port {port}: 127.0.0.1:{port} cannot be listened on: Address already"
    )


@dataclass
class Program:
    """A running `serinus sim`, and what it said when it started."""

    process: subprocess.Popen[str]
    greeting: str

    @property
    def port(self) -> int:
        """The port it printed."""
        found = re.search(r" on http://127\.0\.0\.1:(\d+)", self.greeting)
        assert found, self.greeting
        return int(found[1])

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Send a request and return status and text."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def end(self, *, seconds: float = 5.0) -> tuple[int, str]:
        """Wait for its end; exit code and standard error."""
        _, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, err


@contextmanager
def program(*words: str) -> Iterator[Program]:
    """Start the command, read its greeting, and see to it that it ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "serinus", "sim", "--port", "0", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        patience = threading.Timer(30, process.kill)  # then readline ends, and says so
        patience.start()
        try:
            greeting = ""
            while not greeting.endswith("/_sim\n"):
                line = process.stdout.readline()
                assert line, f"no greeting: {greeting!r}"
                greeting += line
            patience.cancel()
            yield Program(process, greeting)
        finally:
            patience.cancel()
            if process.poll() is None:
                process.kill()


@pytest.mark.end_to_end
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_even_while_a_request_hangs(number: signal.Signals) -> None:
    """Stopped is done, within its bound, with nothing on the standard error."""
    with program("--fault", "hang") as running:
        status, models = running.ask("GET", "/v1/models")
        assert (status, json.loads(models)["data"][0]["id"]) == (200, "tiny")
        with closing(socket.create_connection(("127.0.0.1", running.port), timeout=10)) as held:
            body = b'{"prompt":[1],"max_tokens":1}'
            head = (
                f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            held.sendall(head.encode() + body)
            deadline = time.monotonic() + 10
            while json.loads(running.ask("GET", "/_sim")[1])["sequences"]["unseen"] != 1:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            running.process.send_signal(number)
            assert running.end() == (0, "")


@pytest.mark.end_to_end
def test_a_crash_ends_it_at_once_and_closes_the_port() -> None:
    """Exit code 70, with a line that says whose wish it was."""
    with program() as running:
        with suppress(http.client.HTTPException, ConnectionError):  # or it was quicker to answer
            running.ask("POST", "/_sim/faults", {"fault": "crash"})
        code, err = running.end()
        assert code == 70
        assert err == "serinus sim: the fault 'crash' ends this process\n"
        with pytest.raises(ConnectionRefusedError):
            running.ask("GET", "/health")


@pytest.mark.end_to_end
def test_the_commands_it_prints_work_as_they_stand() -> None:
    """Each line to copy is a request that is answered 200; all faults are among them."""
    with program() as running:
        lines = [line.strip() for line in running.greeting.splitlines() if "curl" in line]
        tried = []
        for line in lines:
            words = shlex.split(line)
            url = next(word for word in words if word.startswith("http"))
            data = words[words.index("-d") + 1] if "-d" in words else None
            method = words[words.index("-X") + 1] if "-X" in words else "POST" if data else "GET"
            body = None if data is None else json.loads(data)
            tried.append(body.get("fault") if body else None)
            if tried[-1] in {"crash", "refuse"}:
                continue  # tried above, and by tests/sim/test_http_faults.py
            path = url.partition(str(running.port))[2]
            assert running.ask(method, path, body)[0] == 200, line
        assert {fault for fault in tried if fault} == set(Fault)
        running.process.terminate()
        assert running.end() == (0, "")
