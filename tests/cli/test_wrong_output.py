"""Wrong output with real programs: what `serinus check` says of it by each policy."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request

import pytest

from tests.cli.programs import program
from tests.cli.test_witnesses import LONG, port_of

pytestmark = pytest.mark.end_to_end

QUICK = (
    "sidecar",
    "--port=0",
    "--canary-wait-time=0.3",
    "--health-check-request-timeout=1",
    "--scrape-interval=0.2",
    "--correctness-interval=0.5",
)


def check(port: str, *flags: str) -> tuple[int, str]:
    """Run `serinus check`; return its exit code and what it printed."""
    command = [sys.executable, "-m", "serinus", "check", port, *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("policy", "codes", "said"),
    [
        ("report", (0, 0), r"-> wrong|right -> wrong \(wrong\)"),
        ("degrade", (0, 1), r"ready -> degraded \(wrong\)"),
        ("notready", (1, 1), r"ready -> degraded \(wrong\)"),
    ],
)
def test_check_tells_of_garbage(policy: str, codes: tuple[int, int], said: str) -> None:
    """In the one line that it prints, and by its exit code as the policy has it."""
    with program("sim", "--port", "0", "--step", "0.005") as engine:
        url = engine.says(r"http://[^\s']+")
        with program(*QUICK, "--url", url, f"--correctness-policy={policy}") as sidecar:
            port = port_of(sidecar)
            sidecar.says("are learned: 72 token", seconds=LONG)
            assert "answers: right, " in check(port, "--verbose")[1]
            body = json.dumps({"fault": "garbage"}).encode()
            asked = urllib.request.Request(f"{url}/_sim/faults", data=body, method="POST")
            urllib.request.urlopen(asked, timeout=LONG).close()
            sidecar.says(said, seconds=LONG)
            code, line = check(port)
            strict, _ = check(port, "--strict")
            assert (code, strict) == codes
            assert "repetition: it repeats 0 to its end" in line
            verbose = check(port, "--verbose")[1]
            assert "answers: wrong, " in verbose
            assert f"policy {policy}" in verbose
