"""A real vLLM with two data-parallel ranks on CPU, of which one is frozen."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines_real import rig
from tests.engines_real.stage import OwnHealth

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1500)]

WAIT, DEADLINE = 1, 2
FLAGS = (f"--canary-wait-time={WAIT}", f"--health-check-request-timeout={DEADLINE}")
BOUND = 3 * WAIT + 2 * DEADLINE
"""Seconds that the settings promise for one of two idle ranks."""
PATIENCE = 180.0
GROUP = "serinus.vllm.generate"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, rig.Started]]:
    """A server with two ranks, each of which has brought a token."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("ranks") / "log"
    flags = ("--data-parallel-size=2", "--api-server-count=1")
    started = rig.serve("vllm", port, *flags, log=log)
    url = f"http://127.0.0.1:{port}"
    try:

        def up() -> bool:
            assert started.process.poll() is None, started.said()
            return all(generates(url, rank) for rank in (0, 1))

        rig.wait_until(up, seconds=3 * rig.START, what="both ranks", pace=1.0)
        yield url, started
    finally:
        started.close()


def generates(url: str, rank: int) -> bool:
    """Whether a rank answers a request that is directed to it, within two seconds."""
    body = json.dumps({"model": "tiny", "prompt": [1], "max_tokens": 2}).encode()
    headers = {"content-type": "application/json", "x-data-parallel-rank": str(rank)}
    request = urllib.request.Request(f"{url}/v1/completions", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=2.0) as answer:
            return bool(answer.status == 200 and answer.read())
    except OSError:
        return False


def group(address: str) -> dict[str, Any]:
    """The report of the group."""
    found: dict[str, Any] = rig.details(address)["groups"].get(GROUP, {})
    return found


def missing(address: str) -> dict[str, str]:
    """The members that are not ready, and why."""
    members = group(address).get("members", {})
    return {name: one["reason"] for name, one in members.items() if one["status"] != "ready"}


def test_a_frozen_rank_is_seen_while_the_engine_says_that_it_is_well(
    engine: tuple[str, rig.Started], tmp_path: Path
) -> None:
    """1 of 2 ranks, by the canary that was directed to it; the other one is not accused."""
    url, started = engine
    sidecar = rig.serve_sidecar(url, *FLAGS, log=tmp_path / "sidecar.log")
    try:
        address = rig.address_of(sidecar)
        rig.wait_until(lambda: rig.codes(address) == (200, 200), seconds=PATIENCE, what="ready")
        assert group(address)["why"] == "2 of 2 ranks ready"
        core = rig.named(started.process.pid, "EngineCore_DP1")
        with rig.frozen(core):
            began, own = time.time(), OwnHealth(url)
            rig.wait_until(lambda: rig.codes(address)[0] == 503, seconds=PATIENCE, what="503")
            took = time.time() - began
            assert missing(address) == {"rank 1": "canary_timeout"}
            assert group(address)["why"].startswith("1 of 2 ranks ready; rank 1: canary_timeout")
            assert generates(url, 0)
            assert not generates(url, 1)
            time.sleep(BOUND)
            assert missing(address) == {"rank 1": "canary_timeout"}
            said = own.close()
        rig.wait_until(lambda: rig.codes(address) == (200, 200), seconds=PATIENCE, what="back")
        print(
            f"vLLM, one of two EngineCores frozen: 1 of 2 ranks after {took:.2f} s (promised "
            f"{BOUND} s); its own /health said {said}"
        )
        assert set(own.codes) == {200}
    finally:
        sidecar.close()


def test_a_policy_keeps_the_engine_ready_without_the_rank(
    engine: tuple[str, rig.Started], tmp_path: Path
) -> None:
    """It serves, and is degraded."""
    url, started = engine
    sidecar = rig.serve_sidecar(url, *FLAGS, "--group-policy=any", log=tmp_path / "sidecar.log")
    try:
        address = rig.address_of(sidecar)
        rig.wait_until(lambda: rig.codes(address) == (200, 200), seconds=PATIENCE, what="ready")
        with rig.frozen(rig.named(started.process.pid, "EngineCore_DP0")):
            rig.wait_until(lambda: bool(missing(address)), seconds=PATIENCE, what="seen")
            assert missing(address) == {"rank 0": "canary_timeout"}
            assert rig.codes(address) == (200, 200)
            assert rig.details(address)["degraded"] == [f"{GROUP}: members_not_ready"]
    finally:
        sidecar.close()
