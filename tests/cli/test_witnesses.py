"""Who decided, who disagreed, and is it us: real programs, frozen by signals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.cli.programs import Program, program, until

pytestmark = pytest.mark.end_to_end

QUICK = ("--canary-wait-time=0.5", "--health-check-request-timeout=1", "--scrape-interval=0.2")
LONG = 60.0


def details(port: str) -> dict[str, Any]:
    """The details of a status port."""
    try:
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/health?verbose", timeout=LONG)
    except urllib.error.HTTPError as error:
        page = error
    with page:
        told: dict[str, Any] = json.loads(page.read())["details"]
        return told


def watching(*words: str) -> tuple[str, ...]:
    """A sidecar's command line."""
    return ("sidecar", "--port=0", *QUICK, *words)


def port_of(sidecar: Program) -> str:
    """Where a sidecar answers."""
    return sidecar.says(r"/metrics on http://[^ ]*:([0-9]+)", seconds=LONG)


def test_a_frozen_core_that_no_metric_shows_is_found_by_the_canary_against_its_own_health() -> None:
    """The log and `check --verbose` name who decided, and who disagreed."""
    with program("sim", "--port", "0") as engine:
        url = engine.says(r"http://[^\s']+")
        words = watching("--url", url, "--engine-health-check-interval=0.2")
        with program(*words) as sidecar:
            port = port_of(sidecar)
            sidecar.says("-> ready", seconds=LONG)
            body = json.dumps({"fault": "hang"}).encode()
            asked = urllib.request.Request(f"{url}/_sim/faults", data=body, method="POST")
            urllib.request.urlopen(asked, timeout=LONG).close()
            sidecar.says(
                r"-> notready \(canary_timeout\): canary failed: timeout after .*; "
                r"decided by canary 0\.0 s ago; disagree: own health \(200, \d+\.\d s ago\)",
                seconds=LONG,
            )
            [told] = details(port)["endpoints"].values()
            assert told["decided_by"] == "canary"
            assert told["disagree"] == ["own health"]
            assert told["in_flight"] == 0
            done = subprocess.run(
                [sys.executable, "-m", "serinus", "check", port, "--verbose"],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 1
            assert "not ready (canary_timeout): decided by canary " in done.stdout
            assert "own health: well, " in done.stdout
            assert "self: " in done.stdout


def test_a_sidecar_that_was_stopped_itself_accuses_nobody() -> None:
    """Its canary was in flight all the while, and its engine was well."""
    with program("sim", "--port", "0", "--step", "50ms") as engine:
        url = engine.says(r"http://[^\s']+")
        with program(*watching("--url", url, "--failure-threshold=1")) as sidecar:
            port = port_of(sidecar)
            sidecar.says("-> ready", seconds=LONG)
            for _ in range(3):
                sidecar.process.send_signal(signal.SIGSTOP)
                until(lambda: _state(sidecar.process.pid) == "T", seconds=LONG)
                subprocess.run(["sleep", "2"], check=True)
                sidecar.process.send_signal(signal.SIGCONT)
                until(lambda: details(port)["self"]["last_trouble"], seconds=LONG)
            until(lambda: details(port)["self"]["loop_lost_seconds"] >= 3, seconds=LONG)
            told = details(port)
            assert "our own event loop" in told["self"]["last_trouble"]
            assert [turn["reason"] for turn in told["history"] if turn["before"] == "ready"] == []


def test_two_engines_that_freeze_at_once_are_excused_for_the_budget_and_then_found() -> None:
    """It might have been our network. Loopback does not break: it is a common death."""
    with program("sim", "--port", "0") as one, program("sim", "--port", "0") as other:
        urls = [f"--url={engine.says(r'http://[^ ]+[0-9]')}" for engine in (one, other)]
        with program(*watching(*urls, "--excuse-budget=5s")) as sidecar:
            port = port_of(sidecar)
            until(lambda: details(port)["readiness"]["status"] == "ready", seconds=LONG)
            for engine in (one, other):
                engine.process.send_signal(signal.SIGSTOP)
            until(lambda: details(port)["self"]["lost_at_once"], seconds=LONG)
            told = details(port)
            assert told["self"]["lost_at_once"] == "all 2 engines were lost at once"
            assert told["self"]["lost_since"]
            sidecar.says("all 2 engines were lost at once: it may be our own network", seconds=LONG)
            sidecar.says(r"-> notready \(canary_timeout\)", seconds=LONG)
            assert details(port)["self"]["excused"] > 0
            for engine in (one, other):
                engine.process.send_signal(signal.SIGCONT)


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - one line of the kernel's
        return file.read().rpartition(")")[2].split()[0]
