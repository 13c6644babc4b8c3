"""The library around a real AsyncLLM: frozen, killed, busy."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.engines_real import rig
from tests.engines_real.figures import Figures, best

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(600)]

STALL = 3.0
PROBE = 0.25
"""Seconds for the probe that sees it."""


class Worker(NamedTuple):
    """A worker that is ready."""

    address: str
    started: rig.Started
    loading: list[rig.Probe]
    phases: set[str]

    def process(self, name: str) -> int:
        """Return the id of the engine's process of that name."""
        return rig.named(self.started.process.pid, name)

    def generate(self, streams: int, *, tokens: int) -> None:
        """Have so many users begin, and wait for the first token of one."""
        began = self.count("first token")
        self.started.tell(f"generate {streams} {tokens}")
        self.wait_for(began + 1, "first token")

    def count(self, what: str) -> int:
        """Return how many users have said that they saw their first, or last, token."""
        return self.started.said().count(f"user: {what}")

    def wait_for(self, times: int, what: str) -> None:
        """Wait until so many users have said so."""
        rig.wait_until(lambda: self.count(what) >= times, seconds=500, what=what, pace=0.1)


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Worker]]:
    """Keep one worker for the tests of this file; whoever kills it takes it out."""
    kept: dict[str, Worker] = {}
    yield kept
    for worker in kept.values():
        worker.started.close()


@pytest.fixture
def worker(workers: dict[str, Worker], tmp_path: Path) -> Worker:
    """A ready worker: canary wait 1 s, hang budget 5 s, stall budget 3 s."""
    if "one" not in workers:
        workers["one"] = _start(tmp_path / "worker.log")
    address = workers["one"].address
    rig.wait_until(lambda: rig.codes(address) == (200, 200), seconds=20, what="ready again")
    return workers["one"]


def _start(log: Path) -> Worker:
    started = rig.serve_async_llm(
        log=log,
        DYN_CANARY_WAIT_TIME="1",
        DYN_HEALTH_CHECK_REQUEST_TIMEOUT="0.5",
        DYN_HEALTH_CHECK_BUSY_STALL=f"{STALL}",
        SERINUS_HANG_BUDGET="5",
    )
    rig.wait_until(lambda: "address http" in started.said(), seconds=60, what="a status port")
    address = started.said().split("address ")[1].split()[0]
    watch, phases = rig.Watch(address), set()

    def ready() -> bool:
        phases.add(rig.details(address)["readiness"]["why"])
        return rig.codes(address)[0] == 200

    rig.wait_until(ready, seconds=rig.START, what="ready", pace=0.1)
    return Worker(address, started, watch.close(), phases)


def test_while_the_model_loads_it_is_live_and_not_ready(worker: Worker) -> None:
    """From its first second on, and says why; the port is up before the engine is imported."""
    assert "hold: loading the model" in worker.phases
    before = [probe for probe in worker.loading if probe.health != 200]
    assert len(before) > 50
    assert {(probe.health, probe.live) for probe in before} == {(503, 200)}


def test_a_frozen_core_is_seen_while_idle_and_the_thaw_too(worker: Worker) -> None:
    """Not ready within 2.5 s; live until the hang budget, and then not; both back within 2 s."""
    address = worker.address

    def measure() -> Figures:
        with rig.frozen(worker.process("EngineCore")):
            seen = rig.wait_until(lambda: rig.codes(address) == (503, 200), seconds=15, what="503")
            assert rig.only_endpoint(address)["reason"] == "canary_timeout"
            fell = rig.wait_until(lambda: rig.codes(address)[1] == 503, seconds=20, what="not live")
            assert fell > 4, "liveness waits for the hang budget"
            assert rig.details(address)["liveness"]["reason"] == "hang"
        back = rig.wait_until(lambda: rig.codes(address) == (200, 200), seconds=15, what="back")
        return Figures(seen, fell, back)

    best(measure, most=Figures(2.5, 6.0, 2.0))


def test_a_frozen_worker_is_seen_under_load_and_the_thaw_too(worker: Worker) -> None:
    """A stream that stands still is seen, by its budget or by a doubt; the next token ends it."""
    address = worker.address

    def measure() -> Figures:
        before = worker.count("last token")
        worker.generate(1, tokens=1500)
        with rig.frozen(worker.process("Worker")):
            seen = rig.wait_until(lambda: rig.codes(address) == (503, 200), seconds=15, what="503")
            assert rig.only_endpoint(address)["reason"] in rig.STANDS_STILL
        back = rig.wait_until(lambda: rig.codes(address) == (200, 200), seconds=15, what="back")
        worker.wait_for(before + 1, "last token")
        return Figures(seen, 0.0, back)

    best(measure, most=Figures(STALL + PROBE, 0.0, 2.0))


def test_a_busy_engine_stays_ready_on_its_tokens(worker: Worker) -> None:
    """16 streams of 1,500 tokens, 8 at a time: ready in every probe, by tokens."""
    address = worker.address
    before = worker.count("last token")
    worker.generate(16, tokens=1500)
    sent, watch = rig.canaries(address), rig.Watch(address)
    worker.wait_for(before + 16, "last token")
    still = rig.canaries(address)
    assert not [probe for probe in watch.close() if (probe.health, probe.live) != (200, 200)]
    assert still - sent <= 2, "the one due at the end of the work, and one for a doubt"


def test_a_killed_core_is_the_engines_death(worker: Worker, workers: dict[str, Worker]) -> None:
    """Not ready within 1.5 s and not live, and the reason says that the engine died."""
    del workers["one"]
    try:
        os.kill(worker.process("EngineCore"), signal.SIGKILL)
        address = worker.address
        seen = rig.wait_until(lambda: rig.codes(address) == (503, 503), seconds=15, what="death")
        assert rig.details(address)["liveness"]["reason"] == "engine_died"
        assert rig.only_endpoint(address)["reason"] == "engine_died"
        print(f"dead after {seen:.2f} s")
        assert seen <= 1.5
    finally:
        worker.started.close()
