"""Frontends and workers as processes, killed for real, over files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.cli.programs import PATIENCE, Program, program, until
from tests.discovery.servers import Etcd, Nats

pytestmark = pytest.mark.end_to_end

LEASE = 3.0
STORES = [
    "file",
    pytest.param("etcd", marks=pytest.mark.servers),
    pytest.param("nats", marks=pytest.mark.servers),
]
DYNAMO = Path(os.environ.get("DYNAMO_DIR", "~/.cache/serinus/dynamo")).expanduser()


@pytest.fixture
def fleet(tmp_path: Path) -> Mapping[str, str]:
    """The settings of a fleet in files of its own."""
    return {
        "DYN_DISCOVERY_BACKEND": "file",
        "DYN_FILE_KV": str(tmp_path),
        "SERINUS_DISCOVERY_LEASE": str(LEASE),
        "SERINUS_OUTSIDE_INTERVAL": "0.5",
        "SERINUS_OUTSIDE_TIMEOUT": "0.5",
        "DYN_HTTP_PORT": "0",
        "DYN_HTTP_HOST": "127.0.0.1",
    }


@contextmanager
def frontend(env: Mapping[str, str]) -> Iterator[tuple[Program, str]]:
    """A frontend, and where it answers."""
    with program("frontend", env=env) as it:
        yield it, it.says(r"on (http://\S+)")


@contextmanager
def worker(env: Mapping[str, str], number: int, *facts: str) -> Iterator[subprocess.Popen[str]]:
    """A worker that is announced."""
    script = Path(__file__).with_name("worker.py")
    process = subprocess.Popen(
        [sys.executable, script, "demo.backend.generate", str(number), *facts],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE)
        assert process.stdout is not None
        process.stdout.close()


def get(address: str, path: str = "/health") -> tuple[int, Any]:
    """The status and the body of a request."""
    try:
        with urlopen(address + path, timeout=PATIENCE) as reply:
            return reply.status, json.load(reply)
    except HTTPError as refusal:
        with refusal:
            return refusal.code, json.load(refusal)


def listed(address: str) -> set[int]:
    """The ids that are listed."""
    return {one["instance_id"] for one in get(address)[1].get("instances", ())}


def details(address: str) -> dict[str, Any]:
    """What only this machine may see."""
    told: dict[str, Any] = get(address, "/health?verbose")[1]["details"]
    return told


def unreachable(address: str) -> dict[str, str]:
    """What is unreachable from outside, and why."""
    return {one["instance"]: one["reason"] for one in details(address)["unreachable"]}


def missing(address: str, model: str) -> list[str] | None:
    """The types of workers that a model lacks where these workers are; None before it is known."""
    _, told = get(address, f"/v1/models/{model}/ready")
    found: list[str] | None = told.get("namespaces", {}).get("demo", {}).get("missing_worker_types")
    return found


def has_leader(address: str) -> bool:
    """Whether somebody probes from outside."""
    return details(address)["outside"]["leader"] is not None


@contextmanager
def store(kind: str, directory: Path) -> Iterator[Mapping[str, str]]:
    """A place for discovery, and the settings that choose it."""
    if kind == "file":
        yield {}
        return
    server = Etcd(directory) if kind == "etcd" else Nats(directory)
    server.start()
    try:
        place = {"ETCD_ENDPOINTS": server.urls[0]} if isinstance(server, Etcd) else {}
        if isinstance(server, Nats):
            place = {"NATS_SERVER": server.url}
        yield {"DYN_DISCOVERY_BACKEND": kind, **place}
    finally:
        server.kill()


@pytest.mark.parametrize("kind", STORES)
def test_a_worker_that_is_killed_is_gone_within_its_lease(
    fleet: Mapping[str, str], tmp_path: Path, kind: str
) -> None:
    """By kill -9: nobody took it back, and its lease of 3 s ran out."""
    with ExitStack() as stack:
        env = {**fleet, **stack.enter_context(store(kind, tmp_path))}
        _, address = stack.enter_context(frontend(env))
        stack.enter_context(worker(env, 1))
        dying = stack.enter_context(worker(env, 2))
        until(lambda: listed(address) == {1, 2}, what=lambda: str(get(address)))
        dying.kill()
        killed = time.monotonic()
        until(lambda: listed(address) == {1}, what=lambda: str(get(address)))
        took = time.monotonic() - killed
        print(f"{kind}: gone {took:.2f} s after kill -9, with a lease of {LEASE:g} s")
        assert took <= LEASE + 1.5


def test_a_worker_that_is_frozen_is_ready_in_its_own_eyes_and_unreachable(
    fleet: Mapping[str, str],
) -> None:
    """Until its lease runs out its record says that it is ready: only asking tells."""
    fleet = {**fleet, "SERINUS_DISCOVERY_LEASE": "60"}  # it is seen long before that runs out
    with frontend(fleet) as (_, address), ExitStack() as stack:
        workers = [stack.enter_context(worker(fleet, number)) for number in (1, 2, 3)]
        until(lambda: listed(address) == {1, 2, 3}, what=lambda: str(get(address)))
        frozen = workers[1]
        frozen.send_signal(signal.SIGSTOP)
        try:
            until(
                lambda: unreachable(address) == {"demo/backend/generate/2": "no answer in 0.5 s"},
                what=lambda: str(details(address)),
            )
            until(
                lambda: (
                    [(one["total"], one["usable"]) for one in details(address)["endpoints"]]
                    == [(3, 2)]
                ),
                what=lambda: str(details(address)),
            )
        finally:
            frozen.send_signal(signal.SIGCONT)
        until(lambda: not unreachable(address), what=lambda: str(details(address)))


@pytest.mark.parametrize("kind", STORES)
def test_when_the_prober_is_killed_another_frontend_goes_on_within_the_lease(
    fleet: Mapping[str, str], tmp_path: Path, kind: str
) -> None:
    """By kill -9, and within the lease and a second."""
    with ExitStack() as stack:
        env = {**fleet, **stack.enter_context(store(kind, tmp_path))}
        started = [stack.enter_context(frontend(env)) for _ in range(2)]
        for number in (1, 2):
            stack.enter_context(worker(env, number))
        for _, address in started:
            until(partial(has_leader, address), what=lambda: "a prober")
        until(lambda: len({details(at)["outside"]["leader"] for _, at in started}) == 1)
        name = details(started[0][1])["outside"]["leader"]
        pid = name.split("-")[-2]
        first = next(it for it, _ in started if str(it.process.pid) == pid)
        address = next(address for it, address in started if it is not first)
        first.end(signal.SIGKILL)
        killed = time.monotonic()
        until(
            lambda: (
                details(address)["outside"]["leader"] not in (None, name)
                and (details(address)["outside"]["account"] or {}).get("by") != name
            ),
            what=lambda: str(details(address)["outside"]),
        )
        took = time.monotonic() - killed
        print(
            f"{kind}: another frontend probed {took:.2f} s after kill -9, "
            f"with a lease of {LEASE:g} s"
        )
        assert took <= LEASE + 1.0


def test_sigterm_drains(fleet: Mapping[str, str]) -> None:
    """503 at once, live until the end, and an exit code of 0."""
    env = {**fleet, "DYN_GRACEFUL_SHUTDOWN_GRACE_PERIOD_SECS": "5"}
    with frontend(env) as (it, address):
        until(lambda: get(address)[0] == 200, what=lambda: str(get(address)))
        it.process.send_signal(signal.SIGTERM)
        until(lambda: get(address)[0] == 503, what=lambda: str(get(address)))
        assert get(address)[1]["stage"] == "draining"
        assert get(address, "/live")[0] == 200
        assert it.process.wait(PATIENCE) == 0


@pytest.mark.skipif(
    not (DYNAMO / "complete").exists(), reason="needs scripts/dynamo/install.sh, as make bench runs"
)
@pytest.mark.parametrize("kind", ["file", pytest.param("etcd", marks=pytest.mark.servers)])
def test_a_worker_of_dynamo_is_listed_and_gone_after_its_death(
    fleet: Mapping[str, str], tmp_path: Path, kind: str
) -> None:
    """Its own record is shown; its model needs what its card says; it leaves by its lease."""
    script = Path(__file__).with_name("dynamo_worker.py")
    with ExitStack() as stack:
        env = {**fleet, **stack.enter_context(store(kind, tmp_path))}
        _, address = stack.enter_context(frontend(env))
        process = subprocess.Popen(
            [DYNAMO / "bin" / "python", script, kind, tmp_path],
            env={**os.environ, **env},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: bool(listed(address)), what=lambda: str(get(address)))
            _, told = get(address)
            assert told["endpoints"] == ["dyn://demo.backend.generate"]
            (one,) = told["instances"]
            assert one["transport"]["tcp"].endswith("/demo/backend/generate")
            assert {"component", "endpoint", "namespace", "instance_id"} < one.keys()
            assert one["request_plane_codec"] == "msgpack"
            until(  # a card that comes before its instance is of a model without decode
                lambda: missing(address, "tiny") == ["prefill"],
                what=lambda: str(get(address, "/v1/models/tiny/ready")),
            )
            until(lambda: get(address, "/v1/models/tiny/ready")[0] == 503)
            process.kill()
            took = until(lambda: not listed(address), seconds=60, what=lambda: str(get(address)))
            print(f"{kind}: gone {took:.1f} s after kill -9 of Dynamo's worker")
        finally:
            process.kill()
            process.wait(PATIENCE)


def test_an_engine_behind_a_sidecar_is_seen_to_turn(fleet: Mapping[str, str]) -> None:
    """Listed with its model; frozen, it leaves the list with the reason; thawed, it is back."""
    quick = ("--canary-wait-time=0.5", "--health-check-request-timeout=1", "--scrape-interval=0.2")
    with frontend(fleet) as (_, address), program("sim", "--port", "0") as engine:
        url = engine.says(r"(http://127\.0\.0\.1:\d+)")
        with program("sidecar", "--url", url, "--port", "0", *quick, env=fleet) as sidecar:
            until(lambda: get(address, "/v1/models/tiny/ready")[0] == 200, what=lambda: sidecar.err)
            (one,) = get(address)[1]["instances"]
            assert (one["component"], one["transport"]) == ("vllm", {"http": url})
            assert [one["id"] for one in get(address, "/v1/models")[1]["data"]] == ["tiny"]

            engine.process.send_signal(signal.SIGSTOP)
            until(lambda: not listed(address), what=lambda: str(get(address)))
            until(
                lambda: (
                    [one["reason"] for one in details(address)["not_ready"]] == ["canary_timeout"]
                ),
                what=lambda: str(details(address)),
            )
            until(lambda: get(address, "/v1/models/tiny/ready")[0] == 503)

            engine.process.send_signal(signal.SIGCONT)
            until(lambda: get(address, "/v1/models/tiny/ready")[0] == 200, what=lambda: sidecar.err)
            assert len(listed(address)) == 1
            assert sidecar.end() == 0
        until(lambda: get(address, "/v1/models/tiny/ready")[0] == 404)
        assert not listed(address)


def test_a_worker_of_the_library_is_seen_to_turn(fleet: Mapping[str, str]) -> None:
    """Its endpoint leaves the list when its canary fails, with the reason, and comes back."""
    script = Path(__file__).with_name("library_worker.py")
    env = {**fleet, "DYN_HEALTH_CHECK_ENABLED": "true", "DYN_CANARY_WAIT_TIME": "200ms"}
    env |= {"DYN_HEALTH_CHECK_REQUEST_TIMEOUT": "300ms", "SERINUS_MODEL": "tiny"}
    with frontend(fleet) as (_, address):
        process = subprocess.Popen(
            [sys.executable, script], env={**os.environ, **env}, stdin=subprocess.PIPE, text=True
        )
        try:
            assert process.stdin is not None
            until(lambda: len(listed(address)) == 1, what=lambda: str(details(address)))
            until(lambda: get(address, "/v1/models/tiny/ready")[0] == 200)
            process.stdin.write("hang\n")
            process.stdin.flush()
            until(lambda: not listed(address), what=lambda: str(details(address)))
            until(
                lambda: (
                    [one["reason"] for one in details(address)["not_ready"]] == ["canary_timeout"]
                ),
                what=lambda: str(details(address)),
            )
            until(lambda: get(address, "/v1/models/tiny/ready")[0] == 503)
            process.stdin.write("go\n")
            process.stdin.flush()
            until(lambda: len(listed(address)) == 1, what=lambda: str(details(address)))
        finally:
            process.kill()
            process.wait(PATIENCE)
            if process.stdin is not None:
                process.stdin.close()
