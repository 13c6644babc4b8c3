"""Putting faults on and off over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from serinus.sim import front
from serinus.sim.control import Control
from serinus.sim.engine import Engine, Pace
from serinus.sim.faults import Board, Fault
from serinus.sim.loading import Phase
from serinus.sim.options import SimOptions
from serinus.sim.ranks import Ranks
from tests.sim.client import simulating


class Desk:
    """The control routes of an engine that does not run, under a clock that is set by hand."""

    def __init__(self, options: SimOptions | None = None) -> None:
        self.now = 50.0
        self.board = Board(clock=lambda: self.now)
        self._control = Control(
            options or SimOptions(),
            Ranks([Engine(Pace(), self.board)]),
            self.board,
            phase=lambda: Phase.READY,
            clock=lambda: self.now,
        )

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask and return status and JSON."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        page = self._control.answer(method, path, raw)
        return page.status, json.loads(page.body)


async def test_a_fault_is_put_on_seen_and_taken_off() -> None:
    """The answer to each is the state after it."""
    desk = Desk()
    status, state = desk.ask("POST", "/_sim/faults", {"fault": "slow", "seconds": 20, "value": 3})
    assert status == 200
    assert state["faults"] == [{"fault": "slow", "value": 3.0, "seconds_left": 20.0}]
    desk.now += 5
    assert desk.ask("GET", "/_sim")[1]["faults"][0]["seconds_left"] == 15.0
    status, state = desk.ask("DELETE", "/_sim/faults")
    assert (status, state["faults"]) == (200, [])


async def test_a_fault_can_be_planned_and_lasts_for_good_without_seconds() -> None:
    """`after` counts from now; for good is null."""
    desk = Desk()
    _, state = desk.ask("POST", "/_sim/faults", {"fault": "hang", "after": 30})
    assert state["planned"] == [{"fault": "hang", "value": None, "after": 30.0, "seconds": None}]
    desk.now += 31
    assert desk.ask("GET", "/_sim")[1]["faults"][0]["seconds_left"] is None


async def test_one_fault_is_taken_off_by_its_name() -> None:
    """The others stay."""
    desk = Desk()
    for fault in ("hang", "slow"):
        desk.ask("POST", "/_sim/faults", {"fault": fault})
    _, state = desk.ask("DELETE", "/_sim/faults/hang")
    assert [each["fault"] for each in state["faults"]] == ["slow"]


WANTED = 'a JSON object with the name of a fault is accepted: {"fault": "hang", "seconds": 20}'
UNREACHABLE = (
    "fault 'refuse' closes this port too, and could not be taken off again: "
    'give "seconds", or start with --control-port'
)
NUMBER = "a number of at least 0 is accepted, not"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", WANTED),
        (b"{", WANTED),
        ([], WANTED),
        ({}, WANTED),
        ({"fault": 3}, WANTED),
        ({"fault": "hnag"}, f"unknown fault 'hnag'; accepted: {', '.join(Fault)}"),
        (
            {"fault": "hang", "second": 3},
            "unknown field 'second'; accepted: fault, seconds, after, value, rank",
        ),
        ({"fault": "hang", "seconds": "3"}, f"seconds: {NUMBER} '3'"),
        ({"fault": "hang", "seconds": True}, f"seconds: {NUMBER} True"),
        ({"fault": "hang", "after": -1}, f"after: {NUMBER} -1"),
        ({"fault": "hang", "seconds": 0}, "fault 'hang': a duration above 0 s is accepted, not 0"),
        ({"fault": "refuse"}, UNREACHABLE),
    ],
)
async def test_a_bad_request_for_a_fault_is_explained(body: Any, message: str) -> None:
    """400, the words of the mistake, and nothing on the board."""
    desk = Desk()
    assert desk.ask("POST", "/_sim/faults", body) == (400, {"error": message})
    assert desk.board.active() == ()


async def test_refusing_for_good_is_accepted_with_a_port_for_controls() -> None:
    """Somebody can still be reached."""
    desk = Desk(SimOptions(control_port=0))
    assert desk.ask("POST", "/_sim/faults", {"fault": "refuse"})[0] == 200


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/_sim/faults"), ("POST", "/_sim"), ("GET", "/_sim/nothing")]
)
async def test_another_path_or_method_is_told_the_right_ones(method: str, path: str) -> None:
    """404 with what there is."""
    status, body = Desk().ask(method, path)
    assert status == 404
    assert body["error"].endswith("accepted: GET /_sim, POST or DELETE /_sim/faults")


@pytest.mark.real_time
async def test_the_routes_are_on_the_engines_port() -> None:
    """A fault put on over HTTP is on, and the state tells what no metric does."""
    async with simulating() as client:
        answer = await client.ask("POST", "/_sim/faults", data='{"fault":"hang"}')
        assert answer.status == 200
        assert client.simulator.board.on(Fault.HANG)
        state = (await client.get("/_sim")).json
        assert state["sequences"] == {"running": 0, "waiting": 0, "unseen": 0}
        assert (state["engine"], state["model"], state["phase"]) == ("vllm", "tiny", "ready")
        assert (await client.ask("DELETE", "/_sim/faults/hang")).status == 200
        assert not client.simulator.board.on(Fault.HANG)


@pytest.mark.real_time
async def test_a_caller_from_elsewhere_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """403, and nothing is on."""
    monkeypatch.setattr(front, "_is_loopback", lambda _: False)
    async with simulating() as client:
        answer = await client.ask("POST", "/_sim/faults", data='{"fault":"hang"}')
        assert (answer.status, answer.json) == (403, {"error": "/_sim answers this machine alone"})
        assert client.simulator.board.active() == ()


@pytest.mark.parametrize(
    ("peer", "near"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.7", False),
        ("::ffff:10.0.0.7", False),
        ("", False),
        (None, False),
        ("@", False),
    ],
)
def test_only_this_machine_may_control(peer: str | None, near: bool) -> None:
    """Whoever else can reach the port cannot put faults on."""
    assert front._is_loopback(peer) is near
