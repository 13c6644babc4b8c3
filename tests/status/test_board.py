"""The bodies of answers, and what is seen of a worker through its page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serinus.status import endpoints_json
from serinus.status.process import board as board_module
from serinus.status.process import layout
from serinus.status.process.board import Board
from serinus.status.process.telemetry import Telemetry

SECOND = 1_000_000_000
WORKER = 1  # exists everywhere, and is never stopped


class Bench:
    """A board, its page, and a clock; the worker beats as long as the test lets it."""

    def __init__(self, *, live_follows_ready: bool = False) -> None:
        self.words = memoryview(bytearray(layout.PAGE_BYTES)).cast("Q")
        self.board = Board(
            self.words,
            worker=WORKER,
            loop_stall=5.0,
            loop_budget=60.0,
            live_follows_ready=live_follows_ready,
            telemetry=Telemetry(),
        )
        self.now = 1000 * SECOND
        self.words[layout.STARTED] = self.now
        self.beat()
        self.board.turn(self.now)

    def beat(self, *, loop: bool = True, thread: bool = True) -> None:
        """Let the worker's heart beat."""
        if loop:
            self.words[layout.LOOP_BEAT] = self.now
        if thread:
            self.words[layout.THREAD_BEAT] = self.now

    def tell(self, endpoints: bytes = b'{"generate":"ready"}', *, ready: bool = True) -> None:
        """Let the worker say how it is."""
        self.board.take(layout.HEALTH, (ready, True, True, "told", False), endpoints)

    def wait(self, seconds: float, *, loop: bool = False, thread: bool = False) -> None:
        """Let time pass in turns of half a second; choose which hearts beat meanwhile."""
        for _ in range(int(seconds * 2)):
            self.now += SECOND // 2
            self.beat(loop=loop, thread=thread)
            self.board.turn(self.now)

    def sleep(self, seconds: float) -> None:
        """Let time pass while the status process sleeps as well."""
        self.now += int(seconds * SECOND)
        self.board.turn(self.now)

    def health(self, *, live: bool = False, verbose: bool = False) -> tuple[int, Any]:
        """Ask; return the code and the body."""
        render = self.board.verbose if verbose else self.board.health
        code, front, tail = render(live=live)
        return code, json.loads(front + tail)


@pytest.fixture
def bench() -> Bench:
    """A worker that is up, and has said nothing yet."""
    return Bench()


def test_before_the_first_word(bench: Bench) -> None:
    """A worker that has said nothing is live and not ready."""
    assert bench.health()[0] == 503
    assert bench.health(live=True)[0] == 200


def test_uptime_is_whole_seconds_and_nanoseconds(bench: Bench) -> None:
    """The two parts of the uptime, counted from the start of the status server."""
    bench.wait(2.5, loop=True, thread=True)
    assert bench.health()[1]["uptime"] == {"secs": 2, "nanos": 500_000_000}


@pytest.mark.parametrize(
    ("loop", "thread", "state"),
    [(False, True, "loop_blocked"), (False, False, "process_frozen")],
)
def test_a_silent_worker_is_overruled(
    bench: Bench, *, loop: bool, thread: bool, state: str
) -> None:
    """Readiness goes after the stall budget, liveness after the other, and the cause is told."""
    bench.tell()
    bench.wait(4.5, loop=loop, thread=thread)
    assert bench.health()[0] == 200
    bench.wait(1.0, loop=loop, thread=thread)
    assert bench.health()[0] == 503
    assert bench.health(live=True)[0] == 200
    bench.wait(60.0, loop=loop, thread=thread)
    code, body = bench.health(live=True, verbose=True)
    assert (code, body["status"]) == (503, "notlive")
    assert body["details"]["worker"]["state"] == state
    assert body["details"]["worker"]["reason"] == state


def test_endpoints_of_a_mute_worker_are_not_ready(bench: Bench) -> None:
    """No endpoint is shown ready under a 503 that says that nobody answers, whatever its name."""
    names = ["generate", 'odd":"ready', "ready"]
    bench.tell(endpoints_json(dict.fromkeys(names, "ready") | {"other": "notready"}))
    assert bench.health()[1]["endpoints"]["generate"] == "ready"
    bench.wait(6.0)
    assert bench.health()[1]["endpoints"] == dict.fromkeys([*names, "other"], "notready")
    bench.wait(1.0, loop=True, thread=True)
    assert bench.health()[1]["endpoints"]["generate"] == "ready"


def test_dynamo_mode_answers_both_paths_alike() -> None:
    """The reference has one answer, also when it is we who overrule."""
    bench = Bench(live_follows_ready=True)
    bench.tell()
    bench.wait(6.0)
    assert bench.health() == bench.health(live=True)
    assert bench.health(live=True)[1]["status"] == "notready"


def test_a_lease_excuses_a_blocked_loop(bench: Bench) -> None:
    """Time under a lease does not count against liveness; what comes after it does."""
    bench.tell()
    bench.words[layout.LEASE_UNTIL] = bench.now + 100 * SECOND
    bench.wait(159.0)
    assert bench.health(live=True)[0] == 200
    bench.wait(2.0)
    assert bench.health(live=True)[0] == 503


def test_who_slept_does_not_accuse(bench: Bench) -> None:
    """After a suspended machine, the worker's silence counts from our own awakening."""
    bench.tell()
    bench.sleep(600.0)
    assert bench.health()[0] == 200
    assert bench.board.look.state == "running"
    bench.wait(4.5)
    assert bench.health()[0] == 200
    bench.wait(1.0)
    assert bench.health()[0] == 503


def test_without_a_loop_nothing_is_blocked(bench: Bench) -> None:
    """Before a loop is attached, and after it is detached, only the worker's word counts."""
    bench.tell()
    bench.words[layout.LOOP_BEAT] = 0
    bench.wait(100.0, thread=True)
    assert bench.health()[0] == 200
    assert bench.health(live=True)[0] == 200
    assert bench.health(verbose=True)[1]["details"]["worker"]["loop_age"] is None
    assert bench.board.asks_in_vain


def test_a_dead_worker(bench: Bench) -> None:
    """Both paths 503, metrics too, and the cause is told."""
    bench.tell()
    bench.board.worker_died()
    assert bench.health()[0] == 503
    code, body = bench.health(live=True, verbose=True)
    assert code == 503
    assert body["endpoints"] == {"generate": "notready"}
    assert body["details"]["worker"]["reason"] == "worker_dead"
    assert bench.board.metrics(0)[:2] == (503, b"worker_dead\n")


@pytest.mark.parametrize("details", [b"{}", b' {"a": {"b": [1]}} ', b"{ }"])
def test_details_are_the_workers_and_ours(bench: Bench, details: bytes) -> None:
    """Our view of the worker joins the worker's own details in one valid JSON object."""
    bench.tell()
    bench.board.take(layout.DETAILS, None, details)
    bench.wait(0.5, loop=True, thread=True)
    _, body = bench.health(verbose=True)
    assert list(body) == ["status", "uptime", "endpoints", "details"]
    ours = {
        "worker": {
            "state": "running",
            "pid": WORKER,
            "reason": "told",
            "loop_age": 0.0,
            "thread_age": 0.0,
        },
        "details_age": 0.5,
    }
    assert body["details"] == json.loads(details) | ours


def test_a_stopped_process_is_told_from_a_frozen_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's word decides, and it is asked only about a worker that is silent."""
    asked = []

    def stopped(pid: int) -> bytes:
        asked.append(pid)
        return b"T"

    monkeypatch.setattr(board_module, "_process_state", stopped)
    bench.tell()
    assert bench.board.look.state == "running"
    assert asked == []
    bench.wait(2.0)
    assert bench.board.look.state == "process_stopped"
    assert asked == [WORKER]
