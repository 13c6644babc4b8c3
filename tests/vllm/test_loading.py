"""A sidecar that is there before vLLM is: what it says while the model loads."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.engines_real import rig

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


def test_a_loading_model_is_live_and_not_ready_with_its_phase(tmp_path: Path) -> None:
    """From the first second on; a closed port is a phase of loading, and no death."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sidecar = rig.serve_sidecar(
        f"http://127.0.0.1:{port}", "--canary-wait-time=1", log=tmp_path / "sidecar.log"
    )
    engine = rig.serve("vllm", port, log=tmp_path / "vllm.log")
    try:
        address = rig.address_of(sidecar)
        watch, reasons = rig.Watch(address), []

        def up() -> bool:
            told = rig.only_endpoint(address)
            if told["status"] == "notready":
                reasons.append(told["reason"])
            return rig.codes(address)[0] == 200

        rig.wait_until(up, seconds=rig.START, what="the first token", pace=0.25)
        before = [probe for probe in watch.close() if probe.health != 200]
    finally:
        engine.close()
        sidecar.close()
    assert len(before) > 10
    assert {(probe.health, probe.live) for probe in before} == {(503, 200)}
    assert reasons[0] == "port_closed"
    assert set(reasons) <= {"port_closed", "no_model", "first_token"}
