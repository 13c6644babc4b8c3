"""The sidecar beside a real engine that it recognised by itself: frozen, killed, saturated, slow.

Every wait is for a condition, with a limit that a machine of a tenth of the speed would meet. How
soon a fault was seen is measured by the verdict's own time, printed, and held to what the settings
promise times `SLACK`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from typing import Any

import pytest

from tests.engines_real import rig
from tests.engines_real.stage import Engine, OwnHealth, fell

pytestmark = [pytest.mark.engines, pytest.mark.timeout(1500)]

WAIT, DEADLINE, STALL, HANG = 1, 2, 6, 8
QUICK = (
    f"--canary-wait-time={WAIT}",
    f"--health-check-request-timeout={DEADLINE}",
    f"--health-check-busy-stall={STALL}",
    f"--hang-budget={HANG}",
)
IDLE_BOUND = WAIT + 2 * DEADLINE
"""Seconds that the settings promise while idle: a wait, and two canaries that time out."""
BUSY_BOUND = STALL + IDLE_BOUND
"""And in the middle of work: the stall budget, or what is idle once the work is over."""
SLACK = 10
"""How many times slower a machine may be; all bounds are asserted with it."""
PATIENCE = 180.0
"""Seconds for a condition that will come true."""

SILENT = {"canary_timeout", "canary_dropped", "canary_stuck", "stalled"}
"""The reasons for an engine that brings nothing."""


@pytest.mark.parametrize("watched", [()], indirect=True)
def test_the_engine_is_recognised_and_says_by_what(engine: Engine, watched: str) -> None:
    """`--engine auto` finds which it is."""
    (address,) = rig.details(watched)["endpoints"]
    notes = rig.only_endpoint(watched)["notes"]
    assert engine.kind.name in notes["recognised"], (address, notes)
    print(notes["recognised"])


@pytest.mark.parametrize("watched", [QUICK], indirect=True)
def test_a_frozen_scheduler_is_seen_while_idle_and_the_thaw_too(
    engine: Engine, watched: str
) -> None:
    """Not ready within the bound; live until the hang budget; both back after the thaw."""
    part = engine.kind.scheduler
    if part.thread:
        engine.find_thread(part)
    with engine.stopped(part) as fault:
        own = OwnHealth(engine.url)
        rig.wait_until(lambda: rig.codes(watched)[0] == 503, seconds=PATIENCE, what="503")
        seen, reason = fell(watched, fault=fault)
        rig.wait_until(lambda: rig.codes(watched)[1] == 503, seconds=PATIENCE, what="not live")
        dead = time.time() - fault
        assert rig.details(watched)["liveness"]["reason"] == "hang"
        heard = own.close()
    thawed = time.time()
    rig.wait_until(lambda: rig.codes(watched) == (200, 200), seconds=PATIENCE, what="back")
    back = time.time() - thawed
    print(
        f"{engine.kind.name}, scheduler frozen, idle: not ready after {seen:.2f} s (promised "
        f"{IDLE_BOUND} s), not live after {dead:.2f} s, back after {back:.2f} s; "
        f"its own /health: {heard}"
    )
    assert reason in SILENT
    assert 0 <= seen < SLACK * IDLE_BOUND
    assert dead - seen > HANG - WAIT - DEADLINE, "liveness waits for the hang budget"
    if engine.kind.lies:
        assert set(own.codes) == {200}, "its own health lies"
    else:
        assert 200 not in own.codes


@pytest.mark.parametrize("watched", [QUICK], indirect=True)
def test_a_frozen_worker_is_seen_in_a_generation_and_the_thaw_too(
    engine: Engine, watched: str
) -> None:
    """Not ready within the bound though work seems to be under way, and back with the thaw."""
    part = engine.kind.worker
    if part.thread:
        engine.find_thread(part)
    user = engine.user(tokens=1500)
    try:
        rig.wait_until(lambda: user.chunks > 10, seconds=PATIENCE, what="tokens")
        with engine.stopped(part) as fault:
            own = OwnHealth(engine.url)
            rig.wait_until(lambda: rig.codes(watched)[0] == 503, seconds=PATIENCE, what="503")
            seen, reason = fell(watched, fault=fault)
            heard = own.close()
        before, thawed = user.chunks, time.time()
        rig.wait_until(lambda: rig.codes(watched) == (200, 200), seconds=PATIENCE, what="back")
        back = time.time() - thawed
        rig.wait_until(lambda: user.chunks > before, seconds=PATIENCE, what="tokens go on")
    finally:
        user.stop()
    assert user.join(PATIENCE)
    print(
        f"{engine.kind.name}, worker frozen in a generation: {reason} after {seen:.2f} s (promised "
        f"{BUSY_BOUND} s), back after {back:.2f} s; its own /health: {heard}"
    )
    assert reason in SILENT
    assert 0 <= seen < SLACK * BUSY_BOUND


def test_a_saturated_engine_is_never_accused(saturated: str, engine: Engine) -> None:
    """16 generations of 1,500 tokens at once, default settings: ready and live in every probe."""
    users = [engine.user(tokens=1500, rounds=1) for _ in range(16)]
    try:
        rig.wait_until(lambda: any(u.chunks for u in users), seconds=PATIENCE, what="tokens")
        watch, own = rig.Watch(saturated, pace=0.2), OwnHealth(engine.url, timeout=5.0)
        for user in users:
            assert user.join(900), "a generation did not end"
        probes, heard = watch.close(), own.close()
    finally:
        for user in users:
            user.stop()
    accused = [p for p in probes if (p.health, p.live) != (200, 200)]
    print(
        f"{engine.kind.name}, saturated: {len(accused)} of {len(probes)} probes over "
        f"{probes[-1].at:.0f} s said anything but 200; its own /health: {heard}"
    )
    assert not sum(user.failed for user in users)
    assert not accused


@pytest.mark.parametrize("watched", [()], indirect=True)
def test_a_slow_engine_is_not_called_dead(engine: Engine, watched: str) -> None:
    """A tenth of the processor for its 200 tokens, default settings: live in every probe."""
    user = engine.user(tokens=200)
    try:
        rig.wait_until(lambda: user.chunks > 0, seconds=PATIENCE, what="tokens")
        with engine.starved(share=0.1):
            watch, before = rig.Watch(watched, pace=0.2), user.chunks
            began = time.monotonic()
            rig.wait_until(
                lambda: user.chunks >= before + 200 and time.monotonic() - began > 20,
                seconds=900,
                what="200 tokens at a tenth of the speed",
            )
            degraded = rig.only_endpoint(watched)["degraded"]
            probes = watch.close()
        rig.wait_until(lambda: rig.codes(watched) == (200, 200), seconds=PATIENCE, what="well")
    finally:
        user.stop()
    assert user.join(PATIENCE)
    ready = sum(probe.health == 200 for probe in probes)
    print(
        f"{engine.kind.name}, slow: ready in {ready} of {len(probes)} probes over "
        f"{probes[-1].at:.0f} s, live in all; degraded: {', '.join(degraded) or 'no'}"
    )
    assert {probe.live for probe in probes} == {200}


@pytest.mark.parametrize("watched", [("--scrape-interval=0.5",)], indirect=True)
def test_an_engine_that_becomes_slow_under_work_is_degraded(engine: Engine, watched: str) -> None:
    """Live all the time, and as it should be again once its tokens come as before."""
    users = [engine.user(tokens=1500) for _ in range(3)]

    def known() -> dict[str, Any]:
        """Return what is told of it, nothing where a machine that is busy does not come to that."""
        code, body = rig.get(watched, "/health?verbose", timeout=20)
        endpoints = json.loads(body)["details"]["endpoints"] if code else {}
        return next(iter(endpoints.values()), {})

    def slow() -> bool | None:
        endpoint = known()
        return "slow_tokens" in endpoint["degraded"] if endpoint else None

    def learnt() -> int:
        told = re.findall(r"(\d+) measures", known().get("notes", {}).get("pace", ""))
        return max(map(int, told), default=0)

    try:
        if not engine.kind.paced:
            assert "not measured" in known()["notes"]["pace"]
            return
        rig.wait_until(lambda: learnt() >= 15, seconds=PATIENCE, what="measures", pace=0.5)
        usual = known().get("notes", {}).get("pace")
        with engine.starved(share=0.1):
            seen = rig.wait_until(
                lambda: slow() is True, seconds=PATIENCE, what="slow tokens", pace=0.2
            )
            flaws = known().get("flaws")
            assert rig.codes(watched)[1] == 200
        mended = rig.wait_until(lambda: slow() is False, seconds=PATIENCE, what="quick", pace=0.2)
    finally:
        for user in users:
            user.stop()
    assert all(user.join(PATIENCE) for user in users)
    print(
        f"{engine.kind.name}, slow under work: degraded after {seen:.1f} s, {flaws}, no more after "
        f"{mended:.1f} s; usual: {usual}"
    )


@pytest.mark.parametrize("watched", [QUICK], indirect=True)
def test_a_killed_engine_is_dead(engine: Engine, watched: str, engines: list[Engine]) -> None:
    """Not ready within the idle bound, and then not live because it died."""
    engines.remove(engine)
    try:
        fault = time.time()
        os.kill(engine.process(engine.kind.killed), signal.SIGKILL)
        rig.wait_until(lambda: rig.codes(watched) == (503, 503), seconds=PATIENCE, what="death")
        rig.wait_until(
            lambda: rig.details(watched)["liveness"]["reason"] == "engine_died",
            seconds=PATIENCE,
            what="its death",
        )
        (seen, _), dead = fell(watched, fault=fault), time.time() - fault
        print(
            f"{engine.kind.name}, killed: not ready after {seen:.2f} s, known to be dead after "
            f"{dead:.2f} s"
        )
        assert 0 <= seen < SLACK * IDLE_BOUND
    finally:
        engine.started.close()
