"""Our workers and clients with those of Dynamo's released wheel, over files and over etcd.

By `make test-dynamo`, which installs the wheel; the other tests do not need it.
"""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.discovery.servers import Etcd, free_ports
from tests.request_plane.processes import HERE as OURS
from tests.request_plane.processes import PATIENCE, Program, program

pytestmark = pytest.mark.dynamo

HERE = Path(__file__).parent
PYTHON = Path(os.environ.get("DYNAMO_DIR", "~/.cache/serinus/dynamo")).expanduser() / "bin/python"
PACE = 40
SOON = 1.0
"""Seconds in which an instance that is not ready gets its last request of Dynamo's client."""
GIVEN_UP = "Worker disconnected before response stream was established"
LISTED_DEAD = {"file": 3.0 + 1.5, "etcd": 3.0 + 1.5}
"""Seconds that a worker of ours that was killed is listed at most by Dynamo: its lease and more."""


class Fleet(NamedTuple):
    """A discovery backend of its own, and who is started around it."""

    backend: str
    env: Mapping[str, str]

    def worker(self, number: int) -> Any:
        """Start a worker of ours."""
        env = {**self.env, "SERINUS_INSTANCE_ID": str(number)}
        return program(OURS / "worker.py", str(number), env=env)

    def load(self, instances: int, pace: float, request: Mapping[str, Any]) -> Any:
        """Start a client of ours."""
        return program(
            OURS / "load.py", str(instances), str(pace), json.dumps(request), env=self.env
        )

    def dynamo(self, script: str, *arguments: object) -> Any:
        """Start a program in Dynamo's environment."""
        env = {**self.env, "DYN_LOG": "warn"}
        words = [self.backend, *map(str, arguments)]
        return program(HERE / script, *words, env=env, python=PYTHON)

    def dynamo_asks(self, request: Mapping[str, Any], most: int = -1) -> Program:
        """Have Dynamo's client ask once; return what it told."""
        with self.dynamo("load.py", 1, 0, json.dumps(request), most) as client:
            client.until(lambda: client.told("answered") + client.told("failed"))
            asked: Program = client
            return asked


@contextmanager
def _backend(name: str, tmp_path: Path) -> Iterator[Mapping[str, str]]:
    if name == "file":
        yield {"DYN_FILE_KV": str(tmp_path)}
        return
    etcd = Etcd(tmp_path)
    etcd.start()
    try:
        yield {"ETCD_ENDPOINTS": etcd.urls[0]}
    finally:
        etcd.kill()


@pytest.fixture(params=["file", "etcd"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    """Return a fleet of nobody yet."""
    with _backend(request.param, tmp_path) as where:
        env = {
            "DYN_DISCOVERY_BACKEND": request.param,
            "SERINUS_DISCOVERY_LEASE": "10",
            "SERINUS_RPC_HOST": "127.0.0.1",
            **where,
        }
        yield Fleet(request.param, env)


def lost_by_us(load: Program) -> list[str]:
    """Return of the requests that failed why, but for those that Dynamo's client gave up itself.

    When a record goes, it gives up every request that it has sent there and to which no answer has
    begun, even if the worker has it. An answer begins within milliseconds of the request, whatever
    its first item takes; so this is about those on their way at that very moment.
    """
    turns = [one["at"] for one in load.told("listed")]
    return [
        f"{one['why']} ({[round(one['at'] - at, 3) for at in turns]})"
        for one in load.told("failed")
        if GIVEN_UP not in one["why"] or not any(abs(one["at"] - at) < 0.3 for at in turns)
    ]


def test_dynamos_client_calls_our_worker(fleet: Fleet) -> None:
    """Items, the end, whose fault an error was, and that the rest is not wanted."""
    with fleet.worker(7) as worker:
        worker.tells("served")
        whole = fleet.dynamo_asks({"items": 3, "gap": 0.01})
        assert whole.told("answered")[0] | {"by": 7, "items": 3} == whole.told("answered")[0]
        wrong = fleet.dynamo_asks({"items": 2, "raise": "ValueError"}).told("failed")[0]
        assert wrong["items"] == 2
        assert "InvalidRequest: ValueError: as it was told" in wrong["why"]
        broken = fleet.dynamo_asks({"items": 0, "raise": "RuntimeError"}).told("failed")[0]
        assert "Internal: RuntimeError: as it was told" in broken["why"]
        fleet.dynamo_asks({"items": 1000, "gap": 0.01}, most=2)
        assert worker.tells("cancelled")["told"]
        assert len(worker.told("asked")) == 4


def test_our_client_calls_dynamos_worker(fleet: Fleet) -> None:
    """Items, the end, and whose fault an error was."""
    with fleet.dynamo("worker.py") as worker:
        worker.tells("served")
        with fleet.load(1, 5, {"items": 3, "gap": 0.01}) as client:
            assert client.tells("answered")["items"] == 3
        with fleet.load(1, 5, {"items": 2, "raise": "ValueError"}) as client:
            failed = client.tells("failed")
            assert failed["started"]
            assert "ValueError: as it was told" in failed["why"]
        with fleet.load(1, 5, {"items": 1000, "gap": 0.01}) as client:
            worker.until(lambda: len(worker.told("asked")) > 3)
        worker.tells("stopped")


def ask(url: str, request: Mapping[str, Any] | None = None) -> Any:
    """Ask a server over HTTP; return the JSON of its answer, None while there is none."""
    data = None if request is None else json.dumps(request).encode()
    try:
        asked = urllib.request.Request(url, data, {"content-type": "application/json"})
        with urllib.request.urlopen(asked, timeout=20) as answer:
            return json.load(answer)
    except OSError:
        return None


def until(true: Callable[[], Any]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "never came true"
        time.sleep(0.1)


def test_dynamos_frontend_lists_our_model_and_sends_it_requests(fleet: Fleet) -> None:
    """A chat completion goes through its frontend to our worker; not ready, the model is gone."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    fleet = fleet._replace(env={**fleet.env, "TEST_MODEL": "org/tiny"})

    def models() -> list[str]:
        return [one["id"] for one in (ask(f"{url}/v1/models") or {"data": []})["data"]]

    with fleet.worker(7) as worker, fleet.dynamo("frontend.py", port):
        worker.tells("served")
        until(lambda: models() == ["org/tiny"])
        until(lambda: (ask(f"{url}/health") or {}).get("instances"))
        (instance,) = ask(f"{url}/health")["instances"]
        assert (instance["instance_id"], instance["component"]) == (7, "backend")
        request = {"model": "org/tiny", "messages": [{"role": "user", "content": "hello"}]}
        until(lambda: ask(f"{url}/v1/chat/completions", request))
        answer = ask(f"{url}/v1/chat/completions", request)
        assert answer is not None
        assert answer["choices"][0]["message"]["content"] == "token"
        worker.signal(signal.SIGUSR1)
        until(lambda: models() == [] and (ask(f"{url}/health") or {}).get("instances") == [])
        worker.signal(signal.SIGUSR2)
        until(lambda: models() == ["org/tiny"])


def test_a_worker_that_is_not_ready_gets_no_more_requests_of_dynamos_client(fleet: Fleet) -> None:
    """Under load, within a second; none is lost, and when it is ready again it is asked again."""
    with ExitStack() as stack:
        workers = [stack.enter_context(fleet.worker(number)) for number in (1, 2)]
        for worker in workers:
            worker.tells("served")
        request = json.dumps({"items": 3, "gap": 0.01})
        load = stack.enter_context(fleet.dynamo("load.py", 2, PACE, request))
        for number in (1, 2):
            load.tells("answered", by=number)
        first = workers[0]
        worst = 0.0
        back = 0.0
        for _ in range(3):
            first.signal(signal.SIGUSR1)
            turned = first.tells("withheld", after=back)["at"]
            load.tells("listed", after=turned, ids=[2])
            time.sleep(1.5)
            asked = [one["at"] for one in first.told("asked", after=turned)]
            worst = max(worst, max(asked, default=turned) - turned)
            first.signal(signal.SIGUSR2)
            back = first.tells("given back", after=turned)["at"]
            first.tells("asked", after=back)
        print(f"{fleet.backend}: the last request came {worst * 1000:.0f} ms after the turn")
        assert worst <= SOON
        assert lost_by_us(load) == []


def test_a_worker_that_drains_loses_no_request_of_dynamos_client(fleet: Fleet) -> None:
    """That client does not try elsewhere, so what it still sends is served."""
    with ExitStack() as stack:
        workers = [stack.enter_context(fleet.worker(number)) for number in (1, 2)]
        for worker in workers:
            worker.tells("served")
        request = json.dumps({"items": 3, "gap": 0.01})
        load = stack.enter_context(fleet.dynamo("load.py", 2, PACE, request))
        for number in (1, 2):
            load.tells("answered", by=number)
        workers[0].signal(signal.SIGTERM)
        drained = workers[0].tells("drained")["at"]
        load.until(lambda: len(load.told("answered", after=drained)) > PACE)
        assert lost_by_us(load) == []


def test_a_worker_of_ours_that_is_killed_leaves_dynamos_list(fleet: Fleet) -> None:
    """Within its lease, and not the longer one that Dynamo has for its own."""
    fleet = fleet._replace(env={**fleet.env, "SERINUS_DISCOVERY_LEASE": "3"})
    with fleet.worker(1) as first, fleet.worker(2) as second:
        first.tells("served")
        second.tells("served")
        with fleet.dynamo("load.py", 2, 1, "{}") as load:
            load.tells("listed", ids=[1, 2])
            killed = time.time()
            first.signal(signal.SIGKILL)
            gone = load.tells("listed", after=killed, ids=[2])["at"] - killed
            print(f"{fleet.backend}: gone from Dynamo's list {gone:.2f} s after kill -9")
            assert gone <= LISTED_DEAD[fleet.backend]
