"""`serinus sidecar` announces its engine, with nothing said about it: on this machine, in files."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.cli.programs import PATIENCE, program, until

pytestmark = pytest.mark.end_to_end

QUICK = ("--canary-wait-time=0.5", "--health-check-request-timeout=1", "--scrape-interval=0.2")


def records(directory: Path, bucket: str) -> list[dict[str, Any]]:
    """Return what is announced in a bucket now."""
    told = []
    for file in (directory / "v1" / bucket).glob("*%2F*"):
        try:
            told.append(json.loads(file.read_bytes()))
        except (OSError, ValueError):
            continue  # just replaced
    return told


def test_it_is_announced_withdrawn_and_back(tmp_path: Path) -> None:
    """Ready, hung, ready again, gone: each is seen where routers look."""
    env = {"DYN_FILE_KV": str(tmp_path)}
    with program("sim", "--port", "0") as sim:
        url = sim.says(r"(http://127\.0\.0\.1:\d+)")
        with program("sidecar", "--url", url, "--port", "0", *QUICK, env=env) as sidecar:
            until(lambda: len(records(tmp_path, "instances")) == 1)
            (one,) = records(tmp_path, "instances")
            assert (one["namespace"], one["component"], one["endpoint"]) == (
                "serinus",
                "vllm",
                "generate",
            )
            assert one["transport"] == {"http": url}
            told = one["serinus"]
            assert (told["status"], told["engine"], told["model"]) == ("ready", "vllm", "tiny")
            assert told["status_address"].startswith("http://")

            fault = json.dumps({"fault": "hang"}).encode()
            urllib.request.urlopen(f"{url}/_sim/faults", fault, timeout=PATIENCE).close()
            until(lambda: not records(tmp_path, "instances"))
            until(lambda: len(records(tmp_path, "withdrawn")) == 1)
            (one,) = records(tmp_path, "withdrawn")
            assert one["serinus"]["reason"] == "canary_timeout"

            mended = urllib.request.Request(f"{url}/_sim/faults", method="DELETE")
            urllib.request.urlopen(mended, timeout=PATIENCE).close()
            until(lambda: len(records(tmp_path, "instances")) == 1)
            until(lambda: not records(tmp_path, "withdrawn"))
            assert sidecar.end() == 0
        assert not records(tmp_path, "instances")


def test_it_may_announce_nothing(tmp_path: Path) -> None:
    """Where nobody is to know."""
    env = {"DYN_FILE_KV": str(tmp_path), "DYN_DISCOVERY_BACKEND": "off"}
    with program("sim", "--port", "0") as sim:
        url = sim.says(r"(http://127\.0\.0\.1:\d+)")
        with program("sidecar", "--url", url, "--port", "0", *QUICK, env=env) as sidecar:
            sidecar.says("notready -> ready")
            assert list(tmp_path.iterdir()) == []
