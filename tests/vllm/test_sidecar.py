"""The sidecar beside a real `vllm serve`: loading, frozen, stalled, busy, killed."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.engines_real import rig

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

FAST = (
    "--canary-wait-time=1",
    "--health-check-request-timeout=0.5",
    "--health-check-busy-stall=3",
    "--hang-budget=5",
)


class Engine(NamedTuple):
    """A vLLM server that has been up, and what a sidecar that was there first saw meanwhile."""

    url: str
    started: rig.Started
    loading: list[tuple[rig.Probe, str]]

    def process(self, name: str) -> int:
        """Return the id of the engine's process of that name."""
        return rig.named(self.started.process.pid, name)


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Engine]]:
    """Keep one engine for the tests of this file; whoever kills it takes it out."""
    kept: dict[str, Engine] = {}
    yield kept
    for engine in kept.values():
        engine.started.close()


@pytest.fixture
def engine(engines: dict[str, Engine], tmp_path: Path) -> Engine:
    """A vLLM server that serves."""
    if "one" not in engines:
        engines["one"] = _start(tmp_path)
    return engines["one"]


@pytest.fixture
def watched(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> Iterator[str]:
    """The address of a sidecar over the engine, ready; a test's parameter gives its flags."""
    flags: tuple[str, ...] = getattr(request, "param", FAST)
    sidecar = rig.serve_sidecar(engine.url, *flags, log=tmp_path / "sidecar.log")
    try:
        address = rig.address_of(sidecar)
        rig.wait_until(lambda: rig.codes(address) == (200, 200), seconds=20, what="ready")
        yield address
    finally:
        sidecar.close()


def _start(folder: Path) -> Engine:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    sidecar = rig.serve_sidecar(url, *FAST, log=folder / "first-sidecar.log")
    engine = rig.serve("vllm", port, log=folder / "vllm.log")
    try:
        address = rig.address_of(sidecar)
        watch, seen = rig.Watch(address), []

        def up() -> bool:
            told = rig.only_endpoint(address)
            if watch.probes and told["status"] == "notready":  # it may turn between the two looks
                seen.append((watch.probes[-1], told["reason"]))
            return rig.codes(address)[0] == 200

        rig.wait_until(up, seconds=rig.START, what="the first token", pace=0.25)
        watch.close()
    except BaseException:
        engine.close()
        raise
    finally:
        sidecar.close()
    return Engine(url, engine, seen)


def test_a_loading_model_is_live_and_not_ready_with_its_phase(engine: Engine) -> None:
    """From the first second on; a closed port is a phase of loading, and no death."""
    before = [(probe, reason) for probe, reason in engine.loading if probe.health != 200]
    assert len(before) > 10
    assert {(probe.health, probe.live) for probe, _ in before} == {(503, 200)}
    assert before[0][1] == "port_closed"
    assert {reason for _, reason in before} <= {"port_closed", "no_model", "first_token"}


def test_a_frozen_core_is_seen_while_idle_and_the_thaw_too(engine: Engine, watched: str) -> None:
    """Not ready first; live until the hang budget, and then not; both back after the thaw."""
    with rig.frozen(engine.process("EngineCore")):
        assert rig.get(engine.url, "/health")[0] == 200, "the engine's own health lies"
        seen = rig.wait_until(lambda: rig.codes(watched) == (503, 200), seconds=15, what="503")
        assert rig.only_endpoint(watched)["reason"] == "canary_timeout"
        fell = rig.wait_until(lambda: rig.codes(watched)[1] == 503, seconds=20, what="not live")
        assert fell > 2, "liveness waits for the hang budget"
        assert rig.details(watched)["liveness"]["reason"] == "hang"
        assert rig.get(engine.url, "/health")[0] == 200, "and goes on to lie"
    back = rig.wait_until(lambda: rig.codes(watched) == (200, 200), seconds=15, what="back")
    print(f"not ready after {seen:.2f} s, not live {fell:.2f} s later, back after {back:.2f} s")


def test_a_frozen_worker_is_seen_under_load_and_the_thaw_too(engine: Engine, watched: str) -> None:
    """A generation that stands still is seen, by budget or doubt; the next token ends it."""
    users = [rig.in_background(lambda: rig.complete(engine.url, tokens=1500)) for _ in range(6)]
    rig.wait_until(
        lambda: bool(rig.only_endpoint(watched)["in_flight"]), seconds=30, what="work in flight"
    )
    with rig.frozen(engine.process("Worker")):
        seen = rig.wait_until(lambda: rig.codes(watched) == (503, 200), seconds=15, what="503")
        assert rig.only_endpoint(watched)["reason"] in rig.STANDS_STILL
    back = rig.wait_until(lambda: rig.codes(watched) == (200, 200), seconds=15, what="back")
    print(f"not ready after {seen:.2f} s, back after {back:.2f} s")
    _join(users)


@pytest.mark.parametrize("watched", [()], indirect=True)
def test_a_saturated_engine_stays_ready_on_its_tokens(engine: Engine, watched: str) -> None:
    """16 generations of 1,500 tokens, 8 at a time, default settings: ready in every probe."""
    work = lambda: rig.complete(engine.url, tokens=1500)  # noqa: E731 - given 16 times
    users = [rig.in_background(work) for _ in range(16)]
    rig.wait_until(
        lambda: bool(rig.only_endpoint(watched)["in_flight"]), seconds=30, what="work in flight"
    )
    sent, watch = rig.canaries(watched), rig.Watch(watched)
    _join(users)
    still, probes = rig.canaries(watched), watch.close()
    assert len(probes) > 50
    assert {(probe.health, probe.live) for probe in probes} == {(200, 200)}
    assert still - sent <= 2, "tokens are proof enough; only a doubt may ask on top"
    print(f"{len(probes)} probes over {probes[-1].at:.0f} s, all 200")


def test_a_killed_core_is_the_engines_death(
    engine: Engine, watched: str, engines: dict[str, Engine]
) -> None:
    """Not ready and not live, and the reason says that the engine died."""
    del engines["one"]
    try:
        os.kill(engine.process("EngineCore"), signal.SIGKILL)
        seen = rig.wait_until(lambda: rig.codes(watched) == (503, 503), seconds=15, what="death")
        assert rig.details(watched)["liveness"]["reason"] == "engine_died"
        assert rig.only_endpoint(watched)["reason"] == "engine_died"
        print(f"dead after {seen:.2f} s")
    finally:
        engine.started.close()


def _join(users: list[threading.Thread]) -> None:
    for user in users:
        user.join(300)
        assert not user.is_alive(), "a generation did not end"
