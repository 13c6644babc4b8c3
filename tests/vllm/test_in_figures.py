"""What is promised of a sidecar beside a real `vllm serve`, in figures.

Canary wait 1 s, canary deadline 0.5 s, stall budget 3 s, hang budget 5 s.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines_real import rig
from tests.engines_real.figures import Figures, best
from tests.engines_real.kinds import KINDS
from tests.engines_real.stage import Engine, fell

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]

KIND = KINDS["vllm"]
HANG, STALL = 5.0, 3.0
READING = 0.25
"""Seconds between two readings of the metrics at rest; more come while there is work."""
FLAGS = (
    "--canary-wait-time=1",
    "--health-check-request-timeout=0.5",
    f"--health-check-busy-stall={STALL}",
    f"--hang-budget={HANG}",
    f"--scrape-interval={READING}",
)
PATIENCE = 120.0


@pytest.fixture(scope="module")
def engines() -> Iterator[list[Engine]]:
    """Keep one engine for the tests of this file; whoever kills it takes it out."""
    kept: list[Engine] = []
    yield kept
    for engine in kept:
        engine.started.close()


@pytest.fixture
def engine(engines: list[Engine], tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """A vLLM that serves."""
    if not engines:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        started = rig.serve("vllm", port, log=tmp_path_factory.mktemp("vllm") / "log")
        engines.append(Engine(KIND, f"http://127.0.0.1:{port}", started))
    return engines[0]


@pytest.fixture
def sidecar(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> Iterator[str]:
    """The address of a sidecar beside it, ready; the parameter gives its flags."""
    started = rig.serve_sidecar(engine.url, *request.param, log=tmp_path / "sidecar.log")
    try:
        address = rig.address_of(started)
        rig.wait_until(lambda: rig.codes(address) == (200, 200), seconds=rig.START, what="ready")
        yield address
    finally:
        started.close()


@pytest.mark.parametrize("sidecar", [FLAGS], indirect=True)
def test_a_frozen_core_while_idle(engine: Engine, sidecar: str) -> None:
    """Not ready within 2.5 s; live until the hang budget, and then not; both back within 2 s."""

    def measure() -> Figures:
        rig.wait_until(lambda: rig.codes(sidecar) == (200, 200), seconds=PATIENCE, what="well")
        with engine.stopped(KIND.scheduler) as fault:
            rig.wait_until(lambda: rig.codes(sidecar)[0] == 503, seconds=PATIENCE, what="503")
            seen, reason = fell(sidecar, fault=fault)
            assert reason == "canary_timeout"
            rig.wait_until(lambda: rig.codes(sidecar)[1] == 503, seconds=PATIENCE, what="not live")
            dead = time.time() - fault - seen
            assert rig.details(sidecar)["liveness"]["reason"] == "hang"
        thawed = time.time()
        rig.wait_until(lambda: rig.codes(sidecar) == (200, 200), seconds=PATIENCE, what="back")
        figures = Figures(seen, dead, time.time() - thawed)
        assert figures.not_live > HANG - 0.1, "it was live until the hang budget was over"
        return figures

    best(measure, most=Figures(2.5, HANG + 1.0, 2.0))


@pytest.mark.parametrize("sidecar", [FLAGS], indirect=True)
def test_a_frozen_worker_in_a_long_generation(engine: Engine, sidecar: str) -> None:
    """Not ready within the stall budget, live, and ready within 2 s of the thaw."""

    def measure() -> Figures:
        rig.wait_until(lambda: rig.codes(sidecar) == (200, 200), seconds=PATIENCE, what="well")
        user = engine.user(tokens=1500)
        try:
            rig.wait_until(lambda: user.chunks > 10, seconds=PATIENCE, what="tokens")
            with engine.stopped(KIND.worker) as fault:
                rig.wait_until(lambda: rig.codes(sidecar)[0] == 503, seconds=PATIENCE, what="503")
                seen, reason = fell(sidecar, fault=fault)
                assert reason in rig.STANDS_STILL
                assert rig.codes(sidecar)[1] == 200
            thawed = time.time()
            rig.wait_until(lambda: rig.codes(sidecar) == (200, 200), seconds=PATIENCE, what="back")
            back = time.time() - thawed
        finally:
            user.stop()
        assert user.join(PATIENCE)
        return Figures(seen, 0.0, back)

    best(measure, most=Figures(STALL, 0.0, 2.0))


@pytest.mark.parametrize("sidecar", [()], indirect=True)
def test_a_saturated_engine_at_default_settings(engine: Engine, sidecar: str) -> None:
    """16 generations of 1,500 tokens, 8 at a time: ready in every probe, and no canary is sent."""
    users = [engine.user(tokens=1500, rounds=1) for _ in range(16)]
    try:
        rig.wait_until(lambda: any(u.chunks for u in users), seconds=PATIENCE, what="tokens")
        time.sleep(2.0)  # a canary that was on its way is through, and the counters have been read
        sent, watch = rig.canaries(sidecar), rig.Watch(sidecar, pace=0.1)
        for user in users:
            assert user.join(900), "a generation did not end"
        probes, still = watch.close(), rig.canaries(sidecar)
    finally:
        for user in users:
            user.stop()
    print(f"{len(probes)} probes over {probes[-1].at:.0f} s, {still - sent:.0f} canaries")
    assert not sum(user.failed for user in users)
    assert {(probe.health, probe.live) for probe in probes} == {(200, 200)}
    assert still == sent


@pytest.mark.parametrize("sidecar", [FLAGS], indirect=True)
def test_a_killed_core(engine: Engine, sidecar: str, engines: list[Engine]) -> None:
    """Not ready within 1.5 s, not live, and the reason says that the engine died."""
    engines.remove(engine)
    try:
        fault = time.time()
        os.kill(engine.process(KIND.killed), signal.SIGKILL)
        rig.wait_until(lambda: rig.codes(sidecar) == (503, 503), seconds=PATIENCE, what="death")
        rig.wait_until(
            lambda: rig.details(sidecar)["liveness"]["reason"] == "engine_died",
            seconds=PATIENCE,
            what="its death",
        )
        seen, _ = fell(sidecar, fault=fault)
        print(f"not ready after {seen:.2f} s, known to be dead after {time.time() - fault:.2f} s")
    finally:
        engine.started.close()
    assert 0 <= seen <= 1.5
