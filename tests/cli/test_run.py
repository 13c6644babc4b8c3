"""`serinus run`: the demo, from its first line to the end of everything that it started."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from serinus.cli import main
from serinus.cli.transcript import Transcript
from serinus.core.history import Transition
from serinus.engines import ENGINES
from tests.cli.programs import Program, alive, children, command_of, logs, program, until

KNOWN = ", ".join(engine.name for engine in ENGINES)
QUICK = (
    "--port=0",
    "--canary-wait-time=0.5",
    "--health-check-request-timeout=0.5",
    "--hang-budget=3",
)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--engine nope",
            f"engine: 'nope' is not known; accepted: sim, auto, {KNOWN}",
        ),
        (
            "--url http://a:1",
            (
                "--engine sim starts its own engine; accepted: --engine auto, or its kind, with a "
                "command or a --url"
            ),
        ),
        (
            "--engine vllm",
            (
                "no address of the engine; accepted: --url http://HOST:PORT, or a command in which "
                "{port} stands for its port: serinus run --engine vllm -- vllm serve MODEL --port "
                "{port}"
            ),
        ),
        (
            "--engine vllm -- /no/such/engine {port}",
            "the engine's command '/no/such/engine' cannot be run: No such file or directory",
        ),
    ],
)
def test_what_is_wrong_is_said(
    capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    """Before anything starts, and nothing is left behind."""
    before = logs()
    assert main(["run", *words.split()]) == 2
    assert capsys.readouterr() == ("", f"serinus: error: {message}\n")
    assert logs() == before


class Demo:
    """A demo that runs: where its engine and its status port are, and how to put faults on."""

    def __init__(self, running: Program) -> None:
        self.running = running
        self.faults = running.says(r"curl -s (http://\S+/_sim/faults) -d")
        self.health = running.says(r"may traffic come\?\s+(http://\S+)")
        self.live = running.says(r"would a restart help\?\s+(http://\S+)")

    @property
    def engine(self) -> int:
        """The id of the engine's process."""
        below = children(self.running.process.pid)
        return next(pid for pid in below if " sim " in command_of(pid))

    def code(self, url: str) -> int:
        """The status that a page answers with."""
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                code: int = response.status
                return code
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def put(self, fault: str) -> None:
        """Do what the printed command does."""
        body = json.dumps({"fault": fault}).encode()
        with urllib.request.urlopen(self.faults, body, timeout=5):
            pass

    def clear(self) -> None:
        """Do what the other printed command does."""
        request = urllib.request.Request(self.faults, method="DELETE")
        with urllib.request.urlopen(request, timeout=5):
            pass


@pytest.fixture
def demo() -> Iterator[Demo]:
    """The demo over the simulator, ready."""
    with program("run", *QUICK) as running:
        shown = Demo(running)
        until(lambda: shown.code(shown.health) == 200)
        yield shown


@pytest.mark.end_to_end
def test_the_engine_is_frozen_and_thawed_as_the_screen_says(demo: Demo) -> None:
    """503 with a reason, while /live waits for proof and the engine's own word is 200."""
    demo.put("hang")
    until(lambda: demo.code(demo.health) == 503)
    assert demo.code(demo.live) == 200
    assert demo.code(demo.faults.replace("/_sim/faults", "/health")) == 200
    until(lambda: demo.code(demo.live) == 503)
    demo.running.says(r"engine    not ready  canary_timeout   canary failed: timeout after")
    demo.running.says(r"and the\n?\s+engine's own /health says 200|/health says 200")
    demo.running.says(r"/live     503")
    demo.clear()
    until(lambda: demo.code(demo.health) == demo.code(demo.live) == 200)
    demo.running.says(r"/live     200")
    assert demo.running.end(signal.SIGINT) == 0


@pytest.mark.end_to_end
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_everything_ends_with_it(demo: Demo, number: signal.Signals) -> None:
    """Also a frozen engine, within moments; and its output is not left lying about."""
    below = children(demo.running.process.pid)
    engine = demo.engine
    os.kill(engine, signal.SIGSTOP)
    assert demo.running.end(number) == 0
    until(lambda: not any(map(alive, below)))
    assert not [path for path in logs() if str(path) in demo.running.out]
    assert "Traceback" not in demo.running.err


@pytest.mark.end_to_end
def test_the_engine_does_not_outlive_a_demo_that_was_killed(demo: Demo) -> None:
    """SIGKILL leaves no time to tidy up; the kernel does it."""
    below = children(demo.running.process.pid)
    assert below
    demo.running.end(signal.SIGKILL)
    until(lambda: not any(map(alive, below)))
    for path in logs():
        if str(path) in demo.running.out:
            path.unlink()


@pytest.mark.end_to_end
def test_an_engine_that_is_killed_is_dead_on_the_screen(demo: Demo) -> None:
    """`kill -9`: not ready, not live, how it ended; and its last words are kept."""
    os.kill(demo.engine, signal.SIGKILL)
    until(lambda: demo.code(demo.live) == demo.code(demo.health) == 503)
    demo.running.says(r"engine    not ready  engine_died")
    demo.running.says(r"engine    ended .* its process ended: signal SIGKILL")
    assert demo.running.end() == 0
    kept = [path for path in logs() if str(path) in demo.running.out]
    assert len(kept) == 1
    assert demo.running.out.endswith(f"the engine failed; its output is in {kept[0]}\n")
    kept[0].unlink()


@pytest.mark.end_to_end
def test_a_command_is_started_with_a_port_and_ends_with_us() -> None:
    """`-- COMMAND {port}` for a real engine; here the simulator is one."""
    command = (sys.executable, "-m", "serinus", "sim", "--port", "{port}")
    with program("run", "--engine", "vllm", *QUICK, "--", *command) as running:
        running.says(r"/health   200")
        pid = int(running.says(r"kill -STOP (\d+)"))
        assert re.search(r" sim --port \d+", command_of(pid))
        assert running.end() == 0
        until(lambda: not alive(pid))


@pytest.mark.end_to_end
def test_an_engine_that_does_not_start_is_told_with_its_words() -> None:
    """Its process ended, and the file with its output is named."""
    command = (sys.executable, "-c", "import sys; sys.exit('no model {port}')")
    with program("run", "--engine", "vllm", *QUICK, "--", *command) as running:
        running.says(r"its process ended: exit code 1")
        log = running.says(r"the engine's output +(\S+)")
        assert running.end() == 0
        kept = [path for path in logs() if str(path) == log]
        assert "no model" in kept[0].read_text()
        kept[0].unlink()


def lines_of(*transitions: Transition) -> list[str]:
    """What a transcript makes of some changes."""
    out = io.StringIO()
    transcript = Transcript(out, wall=lambda: 0.0)
    for transition in transitions:
        transcript.changed(transition, name="engine")
    return [line[10:] for line in out.getvalue().splitlines()]


def test_a_change_is_a_line_that_fits_a_terminal() -> None:
    """100 columns, the rest below; and no colour where there is no terminal."""
    shown = lines_of(
        Transition(
            1.0, "a.b.c", "ready", "notready", "canary_error", "canary failed: " + "x " * 60
        ),
        Transition(1.0, "readiness", "ready", "notready", "all_endpoints", "1 of 1 not ready"),
        Transition(1.0, "liveness", "notlive", "live", "live", ""),
        Transition(
            1.0, "a.b.c", "ready", "notready", "stalled", "1 in flight, nothing moved for 3 s"
        ),
        Transition(1.0, "a.b.c", "ready", "notready", "canary_wrong_shape", "odd"),
    )
    assert shown[0].startswith("engine    not ready  canary_error     canary failed: x x")
    assert all(len(line) <= 90 for line in shown)
    assert shown[3:5] == [
        "/health   503                         1 of 1 not ready",
        "/live     200",
    ]
    assert shown[5] == "engine    not ready  stalled          1 in flight, nothing moved for 3 s"
    assert shown[6] == "engine    not ready  canary_wrong_shape"
    assert "\x1b" not in "".join(shown)
