"""A whole process that is stopped while it is idle, long before its next canary."""

from __future__ import annotations

import signal
import time

import pytest

from tests.cli.programs import Program, program, until
from tests.cli.test_sidecar import address_of, get

pytestmark = pytest.mark.end_to_end

ROUNDS = 5
"""A stop does not count that comes before it is known how long readings of the page take."""


def stopped(engine: Program, health: str) -> float | None:
    """Stop an engine and let it go on; return after how many seconds it was not ready, if so."""
    engine.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    try:
        while time.monotonic() < began + 30:
            if get(health)[0] == 503:
                return time.monotonic() - began
            time.sleep(0.05)
        return None
    finally:
        engine.process.send_signal(signal.SIGCONT)


def test_an_engine_that_is_stopped_while_idle_is_found_before_its_next_canary() -> None:
    """Its page keeps silent: it is asked at once, and twice, and then not ready."""
    with program("sim", "--port=0") as engine:
        url = engine.says(r"http://[^\s']+")
        words = ("--canary-wait-time=600", "--engine=vllm", "--url", url)
        with program("sidecar", "--port=0", *words) as sidecar:
            health = f"{address_of(sidecar)}/health"
            took = None
            for _ in range(ROUNDS):
                until(lambda: get(health)[0] == 200, seconds=60, what=lambda: sidecar.err)
                time.sleep(4)  # a pace, no promise: it is read once a second
                if (took := stopped(engine, health)) is not None:
                    break
            assert took is not None, sidecar.err
            print(f"stopped while idle, a wait of 600 s: not ready after {took:.1f} s")
            sidecar.says("its metrics page is late: asked at once")
            until(lambda: get(health)[0] == 200, seconds=60, what=lambda: sidecar.err)
