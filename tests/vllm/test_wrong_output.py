"""Real vLLM: right answers stay right while its batches change, other weights are found.

The models are tiny and random, and made here: two of them, that differ in their weights alone.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engines_real import rig
from tests.engines_real.users import User

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1500)]

PATIENCE = 240.0
"""Seconds for a condition that will come true, on a machine that has much else to do."""
BODY = {"ignore_eos": True}
FLAGS = (
    "--correctness-policy=notready",
    "--correctness-interval=0.5",
    "--canary-wait-time=1",
    "--health-check-request-timeout=5",
)


@contextlib.contextmanager
def vllm(model: Path, port: int, log: Path) -> Iterator[str]:
    """Serve a model by the name that all of them have; gives its URL once it brought a token."""
    started = rig.serve("vllm", port, log=log, model=model)
    url = f"http://127.0.0.1:{port}"
    first = User(url, tokens=1, body=BODY, rounds=1)
    try:

        def up() -> bool:
            assert started.process.poll() is None, started.said()
            return first.answered == 1

        rig.wait_until(up, seconds=rig.START, what="the first token", pace=0.25)
        yield url
    finally:
        first.stop()
        started.close()


def reference(*words: str) -> subprocess.CompletedProcess[str]:
    """Run `serinus reference`."""
    command = [sys.executable, "-m", "serinus", "reference", *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)


def known(address: str) -> dict[str, Any]:
    """Return what is known of the endpoint's answers."""
    told: dict[str, Any] = rig.only_endpoint(address)["correctness"]
    return told


def rights(address: str, *, more: int) -> None:
    """Wait for so many more right answers."""
    wanted = known(address)["answers"]["right"] + more
    rig.wait_until(
        lambda: known(address)["answers"]["right"] >= wanted,
        seconds=PATIENCE,
        what="asked between two bursts",
    )


def test_other_weights_are_wrong_and_other_batches_are_not(tmp_path: Path) -> None:
    """A reference, bursts of users with rests between them, another model under the same name."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    right, other = (rig.make_model(tmp_path / f"seed-{seed}", seed) for seed in (1, 2))
    file = str(tmp_path / "reference.json")
    sidecar: rig.Started | None = None
    try:
        with vllm(right, port, tmp_path / "right.log") as url:
            written = reference("--url", url, "--write", file)
            assert written.returncode == 0, written.stdout + written.stderr
            print(written.stdout.strip())
            (sheet,) = json.loads(Path(file).read_text())["engines"].values()
            assert [len(one["answer"]) for one in sheet["prompts"].values()] == [24] * 3
            assert int(re.findall(r"(\d+) of which", written.stdout)[0]) > 36
            sidecar = rig.serve_sidecar(
                url, *FLAGS, f"--correctness-reference={file}", log=tmp_path / "sidecar.log"
            )
            address = rig.address_of(sidecar)
            rig.wait_until(lambda: rig.codes(address) == (200, 200), seconds=PATIENCE, what="ready")
            for burst in range(1, 5):
                users = [
                    User(url, tokens=60 * burst, body=BODY, rounds=2) for _ in range(4 * burst)
                ]
                for user in users:
                    assert user.join(PATIENCE)
                rights(address, more=4)
            told = known(address)
            print(f"4 bursts of 4 to 16 users: {told['answers']}, {told['state']}")
            assert told["state"] == "right"
            assert told["answers"]["wrong"] == 0
            assert rig.codes(address) == (200, 200)
        with vllm(other, port, tmp_path / "other.log") as url:
            up = time.monotonic()
            rig.wait_until(
                lambda: known(address)["state"] == "wrong", seconds=PATIENCE, what="wrong"
            )
            seen = time.monotonic() - up
            one = rig.only_endpoint(address)
            print(f"other weights: wrong {seen:.1f} s after its first token: {one['evidence']}")
            assert (one["status"], one["reason"]) == ("notready", "wrong")
            rig.wait_until(lambda: rig.codes(address) == (503, 200), seconds=PATIENCE, what="503")
            sidecar.close()  # whose exams are somebody else's work to another one
            sidecar = None
            checked = reference("--url", url, "--check", file)
            print(checked.stdout.strip())
            assert checked.returncode == 1
    finally:
        if sidecar is not None:
            sidecar.close()
