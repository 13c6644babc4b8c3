"""The runtime in a real process: it starts, drains, and ends well."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serinus.errors import LifecycleError, SettingsError
from serinus.runtime.runtime import Runtime
from serinus.settings import Settings
from tests.status.probe import Closed, eventually, get

WORKER = Path(__file__).with_name("worker.py")
SETTINGS = {
    "DYN_SYSTEM_PORT": "0",
    "DYN_SYSTEM_HOST": "127.0.0.1",
    "DYN_HEALTH_CHECK_ENABLED": "true",
    "DYN_CANARY_WAIT_TIME": "0.2",
    "DYN_HEALTH_CHECK_REQUEST_TIMEOUT": "0.5",
}


class Worker:
    """A worker process, its lines as they come."""

    def __init__(self, seconds: float, **settings: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), str(seconds)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **SETTINGS, **settings},
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.address = self.line("address").split()[1]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))

    def line(self, beginning: str, *, seconds: float = 20) -> str:
        """Wait for a line that begins so."""
        until = time.monotonic() + seconds
        while True:
            line = self._lines.get(timeout=max(until - time.monotonic(), 0.001))
            if line.startswith(beginning):
                return line

    def codes(self) -> tuple[int, int]:
        """Return the codes of /health and /live."""
        return get(self.address, "/health").status, get(self.address, "/live").status

    def wait(self, condition: Callable[[], bool], *, seconds: float = 20) -> None:
        """Wait for a condition."""
        assert eventually(condition, within=seconds), "the condition never came"

    def close(self) -> None:
        """End the process whatever it does."""
        self.process.kill()
        self.process.wait(10)
        self._reader.join(10)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def workers() -> Iterator[list[Worker]]:
    """Close what a test started."""
    started: list[Worker] = []
    yield started
    for worker in started:
        worker.close()


@pytest.mark.end_to_end
def test_sigterm_drains_readiness_first_and_the_status_port_last(workers: list[Worker]) -> None:
    """Not ready at once, live to the end; the stream in flight ends; then the port closes."""
    worker = Worker(4)
    workers.append(worker)
    worker.line("streaming")
    worker.wait(lambda: worker.codes() == (200, 200))
    worker.process.send_signal(signal.SIGTERM)
    worker.wait(lambda: worker.codes() == (503, 200), seconds=2)
    report = get(worker.address, "/health?verbose").json["details"]
    assert report["readiness"]["rule"] == "draining"
    assert worker.line("stream ended") == "stream ended 80"
    worker.line("left")
    assert worker.process.wait(10) == 0
    with pytest.raises(ConnectionRefusedError):
        worker.codes()


@pytest.mark.end_to_end
def test_a_stream_beyond_the_drain_timeout_is_not_waited_for(workers: list[Worker]) -> None:
    """Draining has an end, however long a user's stream."""
    worker = Worker(60, DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT="0.3")
    workers.append(worker)
    worker.line("streaming")
    worker.process.send_signal(signal.SIGTERM)
    worker.wait(lambda: _refused(worker), seconds=20)


@pytest.mark.end_to_end
def test_a_second_signal_waits_no_longer(workers: list[Worker]) -> None:
    """Whoever is in a hurry says it twice."""
    worker = Worker(30)
    workers.append(worker)
    worker.line("streaming")
    worker.wait(lambda: worker.codes()[0] == 200)  # or the 503 below could be an older one
    worker.process.send_signal(signal.SIGINT)
    worker.wait(lambda: worker.codes()[0] == 503)
    worker.process.send_signal(signal.SIGINT)
    worker.wait(lambda: _draining_is_over(worker), seconds=20)


@pytest.mark.end_to_end
def test_draining_is_shown_for_as_long_as_the_grace_period(workers: list[Worker]) -> None:
    """A load balancer needs time to see it, even when nothing is in flight."""
    worker = Worker(0.1, DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS="3")
    workers.append(worker)
    worker.line("stream ended")
    worker.wait(lambda: worker.codes() == (200, 200))
    worker.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    worker.wait(lambda: worker.codes() == (503, 200), seconds=2)
    worker.line("left")
    assert time.monotonic() - began > 2.9


@pytest.mark.end_to_end
def test_a_killed_worker_takes_its_status_process_along(workers: list[Worker]) -> None:
    """Whoever probes in the first second hears that it is dead; then the port is free."""
    worker = Worker(30)
    workers.append(worker)
    worker.line("streaming")
    worker.process.kill()
    worker.process.wait(10)
    assert worker.codes() == (503, 503)
    worker.wait(lambda: _refused(worker), seconds=20)


@pytest.mark.end_to_end
def test_a_port_in_use_stops_the_worker() -> None:
    """Never a worker without its health port: an error that names the port, and exit."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environ = {**os.environ, **SETTINGS, "DYN_SYSTEM_PORT": str(port)}
        ended = subprocess.run(
            [sys.executable, str(WORKER), "1"],
            env=environ,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert ended.returncode == 1
    assert f"system_port: {port} on system_host" in ended.stderr
    assert "in use" in ended.stderr
    assert "served" not in ended.stdout


@pytest.mark.real_time
async def test_without_a_port_there_is_no_status_process() -> None:
    """The reference's default: no port, no process, and everything else works."""
    async with Runtime(Settings(), handle_signals=False) as runtime:
        assert runtime.address is None
        assert runtime.report().liveness.live


@pytest.mark.real_time
async def test_a_runtime_opened_early_is_live_and_not_ready_until_it_is_entered() -> None:
    """The port answers while the engine is still being imported; entering takes it over."""
    settings = Settings(system_port=0, system_host="127.0.0.1")
    runtime = Runtime(settings, handle_signals=False)
    address = runtime.open()
    assert address == runtime.open()
    assert address is not None
    assert [get(address, path).status for path in ("/health", "/live")] == [503, 200]
    async with runtime:
        assert runtime.address == address
        runtime.set_health_status("ready")
        ready = await asyncio.to_thread(eventually, lambda: get(address, "/health").status == 200)
        assert ready
    with pytest.raises(ConnectionRefusedError):
        get(address, "/health")


@pytest.mark.end_to_end
def test_opening_a_port_does_not_wait_for_asyncio() -> None:
    """An early port is early because nothing heavy is imported on the way to it."""
    code = (
        "import sys; from serinus import Runtime; Runtime().open(); "
        "print(*(n for n in ('asyncio', 'serinus.runtime.board') if n in sys.modules))"
    )
    environ = {**os.environ, **SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


@pytest.mark.real_time
async def test_a_unix_socket_instead_of_a_port(tmp_path: Path) -> None:
    """Probes by exec need no port."""
    settings = Settings(system_socket=str(tmp_path / "status"))
    async with Runtime(settings, handle_signals=False) as runtime:
        assert runtime.address == f"unix:{tmp_path}/status"
    assert not (tmp_path / "status").exists()


async def test_a_runtime_is_used_only_inside_its_context() -> None:
    """A message that says what to write, not an AttributeError."""
    runtime = Runtime(Settings())
    with pytest.raises(LifecycleError, match="async with Runtime"):
        runtime.endpoint("n.c.e")
    with pytest.raises(LifecycleError, match="async with Runtime"):
        runtime.shutdown()


@pytest.mark.real_time
async def test_a_runtime_is_entered_once() -> None:
    """Its life is over when it has been left."""
    runtime = Runtime(Settings(), handle_signals=False)
    async with runtime:
        pass
    with pytest.raises(LifecycleError, match="entered once"):
        await runtime.__aenter__()


@pytest.mark.real_time
@pytest.mark.parametrize("status", ["Ready", "", "yes"])
async def test_a_bad_process_status_names_what_is_accepted(status: str) -> None:
    """The vocabulary is closed."""
    async with Runtime(Settings(), handle_signals=False) as runtime:
        with pytest.raises(SettingsError) as caught:
            runtime.set_health_status(status)
    assert str(caught.value) == f"health status {status!r}; accepted: 'ready' or 'notready'"


@pytest.mark.real_time
async def test_a_background_task_that_fails_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing that runs ends in silence."""

    async def fails() -> None:
        raise OSError("no such engine")

    async with Runtime(Settings(), handle_signals=False) as runtime:
        runtime.start_task(fails(), name="the fragile one")
    assert "the fragile one failed" in caplog.text
    assert "no such engine" in caplog.text


def _refused(worker: Worker) -> bool:
    try:
        worker.codes()
    except (OSError, Closed):
        return True
    return False


def _draining_is_over(worker: Worker) -> bool:
    return worker.process.poll() is not None or _refused(worker)
