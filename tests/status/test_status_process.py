"""The status process itself: how light it is, and what its loss costs."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serinus.errors import LifecycleError
from serinus.status import StatusConfig, SystemStatusServer, endpoints_json
from tests.status.probe import Client, Closed, eventually, get

pytestmark = pytest.mark.end_to_end
Serve = Callable[..., SystemStatusServer]
ROOT = Path(__file__).parents[2]


def answers(server: SystemStatusServer) -> bool:
    """Whether the port answers."""
    try:
        return get(server.address, "/health").status == 200
    except (Closed, OSError):
        return False


def is_another(server: SystemStatusServer, pid: int | None) -> bool:
    """Whether there is a status process, and it is another."""
    return server.child_pid not in (None, pid)


def test_it_is_light(serve: Serve) -> None:
    """Its share of memory, beside one worker, is at most 8 MiB."""
    server = serve()
    for _ in range(100):
        get(server.address, "/health")
    rollup = Path(f"/proc/{server.child_pid}/smaps_rollup").read_text()
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}
    print(f"status process: PSS {sizes['Pss']} kB, RSS {sizes['Rss']} kB")
    assert sizes["Pss"] <= 8 * 1024


def test_it_answers_soon_after_the_worker_starts() -> None:
    """From the worker's first instruction to the first answer: within any probe's patience."""
    code = (
        "import time; start = time.monotonic()\n"
        "from serinus.status import StatusConfig, SystemStatusServer\n"
        "from tests.status.probe import get\n"
        "server = SystemStatusServer(StatusConfig(host='127.0.0.1'))\n"
        "server.start()\n"
        "get(server.address, '/live')\n"
        "print(time.monotonic() - start)\n"
        "server.close()\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    times = [
        float(subprocess.check_output([sys.executable, "-c", code], env=environment, cwd=ROOT))
        for _ in range(3)
    ]
    print(f"first answer after {min(times) * 1000:.0f} ms")
    assert min(times) < 2.0  # 0.1 s on a machine that has nothing else to do


def test_a_killed_status_process_is_replaced(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """Within a second another one serves the same port with the same documents."""
    server = serve(endpoints=b'{"a":"ready","b":"notready"}')
    pid = server.child_pid
    assert pid is not None
    with Client(server.address) as client:
        assert client.ask("GET", "/health").status == 200
        start = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        assert client.closed_within(1.0)
    body = get(server.address, "/health").json  # waits in the socket's queue
    assert time.monotonic() - start < 1.0
    assert body["endpoints"] == {"a": "ready", "b": "notready"}
    assert is_another(server, pid)
    assert "the status process ended (exit status -9)" in caplog.text


def test_a_stopped_status_process_is_replaced(serve: Serve) -> None:
    """One that does not go round its loop is no good to anyone."""
    server = serve()
    pid = server.child_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    for _ in range(1000):  # the worker goes on telling, and is not held up
        server.publish(ready=True, live=True, reason="x", endpoints=os.urandom(9000), armed=True)
    server.publish(ready=True, live=True, reason="x", endpoints=b'{"last":"ready"}', armed=True)
    assert eventually(lambda: is_another(server, pid), within=10.0)
    assert get(server.address, "/health").json["endpoints"] == {"last": "ready"}
    assert not Path(f"/proc/{pid}").exists()


def test_a_status_process_that_keeps_dying_is_replaced_ever_more_slowly(serve: Serve) -> None:
    """Never given up, and never in a hurry."""
    server = serve()
    killed = 0
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        pid = server.child_pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            killed += 1
            eventually(lambda pid=pid: server.child_pid != pid)  # type: ignore[misc]
        time.sleep(0.005)
    assert 2 <= killed <= 8
    assert eventually(lambda: answers(server), within=20.0)


async def test_the_worker_does_not_notice(serve: Serve) -> None:
    """While status processes die, its loop is on time and nothing is raised."""
    server = serve()
    loop = asyncio.get_running_loop()
    errors: list[object] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    server.attach(loop, metrics=lambda: b"", details=lambda: b"{}")
    worst = [0.0, 0.0, 0.0]
    """After each death: once a busy machine may have been late, and not each time."""
    for number in range(60):
        pid = server.child_pid
        if number % 20 == 0 and pid is not None:
            os.kill(pid, signal.SIGKILL)
        server.publish(
            ready=True, live=True, reason=str(number), endpoints=b"{}" * 5000, armed=True
        )
        before = loop.time()
        await asyncio.sleep(0.01)
        late = loop.time() - before - 0.01
        worst[number // 20] = max(worst[number // 20], late)
    assert errors == []
    assert min(worst) < 0.3


async def test_fresh_documents_on_request(serve: Serve) -> None:
    """Metrics and details are rendered when somebody asks, once for all who ask together."""
    server = serve()
    rendered = {"metrics": 0, "details": 0}

    def metrics() -> bytes:
        rendered["metrics"] += 1
        return b"renderings %d\n" % rendered["metrics"]

    def details() -> bytes:
        rendered["details"] += 1
        return b'{"rendering":%d}' % rendered["details"]

    server.attach(asyncio.get_running_loop(), metrics=metrics, details=details)
    await asyncio.sleep(0.3)
    before = dict(rendered)
    texts = await asyncio.gather(
        *(asyncio.to_thread(get, server.address, "/metrics") for _ in range(8))
    )
    assert {text.body.splitlines()[0] for text in texts} == {
        b"renderings %d" % (before["metrics"] + 1)
    }
    response = await asyncio.to_thread(get, server.address, "/health?verbose")
    assert response.json["details"]["rendering"] == before["details"] + 1
    assert response.json["details"]["details_age"] < 0.1


async def test_renewed_details_stand_beside_what_is_published_next(serve: Serve) -> None:
    """Even when the loop is busy afterwards and nobody can be asked for fresher ones."""
    server, state = serve(), b'"before"'
    server.attach(
        asyncio.get_running_loop(), metrics=lambda: b"", details=lambda: b'{"state":%s}' % state
    )
    await asyncio.sleep(0.3)
    state = b'"after"'
    server.renew_details()
    server.publish(ready=False, live=False, reason="hang", endpoints=b"{}", armed=True)
    with ThreadPoolExecutor(1) as elsewhere:
        response = elsewhere.submit(get, server.address, "/health?verbose").result()
    assert (response.status, response.json["details"]["state"]) == (503, "after")


async def test_rendering_that_fails_is_logged_once(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """What was last rendered is served; the worker's loop goes on."""
    server = serve()
    good = True

    def metrics() -> bytes:
        if not good:
            raise RuntimeError("no metrics today")
        return b"worker_metric 1\n"

    server.attach(asyncio.get_running_loop(), metrics=metrics, details=lambda: b"{}")
    good = False
    for _ in range(3):
        response = await asyncio.to_thread(get, server.address, "/metrics")
        assert response.body.startswith(b"worker_metric 1\n")
        await asyncio.sleep(0.25)
    failures = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.message for record in failures] == ["the metrics could not be rendered"]


async def test_attaching_twice_is_a_mistake(serve: Serve) -> None:
    """One loop at a time; after detaching, another may come."""
    server = serve()
    loop = asyncio.get_running_loop()
    server.attach(loop, metrics=lambda: b"", details=lambda: b"{}")
    with pytest.raises(LifecycleError, match="detach it first"):
        server.attach(loop, metrics=lambda: b"", details=lambda: b"{}")
    server.detach()
    server.detach()
    server.attach(loop, metrics=lambda: b"", details=lambda: b"{}")


async def test_after_detaching_nothing_is_blocked(serve: Serve) -> None:
    """A worker that shuts down may take its time."""
    server = serve(loop_stall=0.2, loop_budget=0.3)
    server.attach(asyncio.get_running_loop(), metrics=lambda: b"", details=lambda: b"{}")
    server.detach()
    time.sleep(0.6)  # noqa: ASYNC251 - the loop is blocked on purpose
    assert get(server.address, "/live").status == 200


def test_starting_and_closing_leaks_nothing() -> None:
    """Fifty lives later there are as many descriptors, threads and children as before."""

    def held() -> tuple[int, int, str]:
        gc.collect()
        children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text()
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), children

    def live() -> None:
        server = SystemStatusServer(StatusConfig(host="127.0.0.1"))
        server.publish(ready=True, live=True, reason="", endpoints=b"{}", armed=True)
        server.start()
        assert get(server.address, "/health").status == 200
        server.close()
        server.close()

    live()
    before = held()
    for _ in range(50):
        live()
    assert held() == before


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_copy_holds_nothing(serve: Serve) -> None:
    """A forked child of the worker does not keep the port, and cannot speak in its name."""
    server = serve()
    pid = server.child_pid
    reader, writer = os.pipe()
    forked = os.fork()
    if forked == 0:
        os.close(writer)
        try:
            server.publish(ready=False, live=False, reason="fork", endpoints=b"{}", armed=True)
            server.lease_until(0.0)
            server.close()
            os.read(reader, 1)  # lives on until the test is over
        finally:
            os._exit(0)
    try:
        assert get(server.address, "/health").status == 200
        port = server.port
        server.close()
        assert not Path(f"/proc/{pid}").exists()
        other = serve(port=port)
        assert get(other.address, "/health").status == 200
    finally:
        os.close(writer)
        os.waitpid(forked, 0)
        os.close(reader)


def test_another_program_in_the_workers_place(tmp_path: Path) -> None:
    """A worker that turns into another program leaves no status process behind."""
    code = (
        "import os\n"
        "from serinus.status import StatusConfig, SystemStatusServer\n"
        "server = SystemStatusServer(StatusConfig(host='127.0.0.1', linger=0.2))\n"
        "server.start()\n"
        "print(server.child_pid, flush=True)\n"
        "os.execvp('sleep', ['sleep', '60'])\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    ) as worker:
        assert worker.stdout is not None
        try:
            pid = worker.stdout.readline().strip()
            # Nobody is left to reap it, so its entry stays.
            assert eventually(lambda: ") Z " in Path(f"/proc/{pid}/stat").read_text())
            assert worker.poll() is None
        finally:
            worker.kill()


def test_documents_of_any_size_and_number_are_whole(serve: Serve) -> None:
    """While documents change as fast as they can, no answer mixes two of them."""
    server = serve()
    stop = threading.Event()
    versions = [
        endpoints_json({f"e{number}": state for number in range(size)})
        for size, state in ((1, "ready"), (2000, "notready"), (50, "ready"), (5000, "ready"))
    ]

    def publish() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            endpoints = versions[number % len(versions)]
            server.publish(
                ready=b"notready" not in endpoints,
                live=True,
                reason="",
                endpoints=endpoints,
                armed=True,
            )

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        with Client(server.address) as client:
            for _ in range(500):
                response = client.ask("GET", "/health")
                states = set(response.json["endpoints"].values())
                assert states == {"ready" if response.status == 200 else "notready"}
    finally:
        stop.set()
        publisher.join()
