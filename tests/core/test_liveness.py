"""Liveness: would a restart help? It waits for proof, and for the budget."""

from __future__ import annotations

import math

import pytest

from serinus.core.address import EndpointAddress
from serinus.core.evidence import (
    CanaryFault,
    EngineDied,
    Evidence,
    Lease,
    Loading,
    Phase,
    RequestFailed,
    RequestFault,
    Tick,
)
from serinus.core.status import HealthStatus, LiveReason, Rule
from serinus.core.system_health import EndpointHealth, Hold, Liveness, Readiness, SystemHealth
from tests.core.lives import AT_ONCE, begun, busy, failed, idle, life, passed

LIVE = Liveness(live=True, reason=LiveReason.LIVE)
READY = Readiness(HealthStatus.READY, Rule.ENDPOINTS_WITH_PAYLOAD, "all 1 ready")
NOTREADY = Readiness(HealthStatus.NOTREADY, Rule.ENDPOINTS_WITH_PAYLOAD, "1 of 1 not ready")
LONG = 1e7
"""Seconds: far past every budget."""


def endpoint(*seen: Evidence, name: str = "generate", canary: bool = True) -> EndpointHealth:
    """An endpoint with a life, judged by the rule that one failure is enough."""
    address = EndpointAddress("n", "backend", name)
    return EndpointHealth(address, life(*seen, rules=AT_ONCE, canary=canary), AT_ONCE, canary)


HUNG = endpoint(passed(1), failed(14))
"""Its budget of 30 s ends at 44 s."""


def liveness(
    *endpoints: EndpointHealth, now: float = LONG, system: SystemHealth | None = None
) -> Liveness:
    """Liveness of a process with these endpoints."""
    return (system or SystemHealth()).liveness(endpoints, NOTREADY, now=now)


def test_a_hang_is_fatal_at_its_budget_and_not_a_moment_before() -> None:
    """Proven at 14 s, the budget is 30 s."""
    assert liveness(HUNG, now=math.nextafter(44.0, 0.0)) == LIVE
    assert liveness(HUNG, now=44.0) == Liveness(
        live=False,
        reason=LiveReason.HANG,
        why="n.backend.generate: canary_timeout, its hang is proven for longer than 30 s",
    )


def test_any_one_endpoint_is_enough() -> None:
    """The good ones do not outweigh it."""
    assert not liveness(endpoint(passed(1), name="a"), HUNG, endpoint(name="b")).live


def test_a_stall_is_fatal_at_its_budget() -> None:
    """Work stood still at 62 s."""
    stalled = endpoint(passed(1), busy(2), Tick(62))
    assert liveness(stalled, now=91.9) == LIVE
    assert liveness(stalled, now=92).reason is LiveReason.HANG


EXCUSED: dict[str, EndpointHealth] = {
    "a new endpoint": endpoint(),
    "loading, with its port closed": endpoint(Loading(1, Phase.PORT_CLOSED)),
    "loading, and its canaries time out": endpoint(failed(3), failed(6), failed(3600)),
    "loading, and its first canary's handler does not end": endpoint(failed(3, CanaryFault.STUCK)),
    "a user's request failed": endpoint(passed(1), RequestFailed(2, RequestFault.SERVER)),
    "overloaded: canaries time out behind work": endpoint(passed(1), busy(2), failed(9)),
    "errors, however long": endpoint(passed(1), failed(14, CanaryFault.RAISED)),
    "the port closed under it": endpoint(passed(1), failed(14, CanaryFault.REFUSED)),
    "it came back": endpoint(passed(1), failed(14), begun(20)),
    "no canary": endpoint(busy(1), canary=False),
}


@pytest.mark.parametrize("excused", EXCUSED.values(), ids=EXCUSED.keys())
def test_it_stays_live_however_long_it_takes(excused: EndpointHealth) -> None:
    """A restart would not help, or nobody has proven that it would."""
    assert liveness(excused) == LIVE
    assert SystemHealth().falls_at([excused], now=0) is None


def test_a_suspicion_is_not_held_against_it() -> None:
    """The failed canary is being confirmed."""
    suspected = EndpointHealth(HUNG.address, life(passed(1), failed(14)), AT_ONCE, payload=True)
    assert suspected.standing.suspected
    assert liveness(suspected) == LIVE


@pytest.mark.parametrize(
    "system",
    [SystemHealth(draining=True), SystemHealth(holds=(Hold("debugging", 1.0),))],
    ids=["draining", "held"],
)
def test_a_hang_is_not_held_against_a_process_that_drains_or_is_held(system: SystemHealth) -> None:
    """No canary is sent while it drains, and who holds it knows why."""
    assert liveness(HUNG, system=system) == LIVE
    assert system.falls_at([HUNG], now=14) is None


def test_after_a_hold_the_proof_counts_again() -> None:
    """Canaries went on meanwhile."""
    assert not liveness(HUNG, system=SystemHealth(holds=())).live


def test_a_lease_puts_the_fall_off_by_the_whole_budget() -> None:
    """At its end the engine has not been asked yet."""
    leased = endpoint(passed(1), failed(14), Lease(20, 1000))
    assert liveness(leased, now=1000) == LIVE
    assert liveness(leased, now=1030).reason is LiveReason.HANG


@pytest.mark.parametrize(
    "system",
    [SystemHealth(), SystemHealth(draining=True), SystemHealth(holds=(Hold("x", 1.0),))],
    ids=["plain", "draining", "held"],
)
def test_a_death_is_fatal_at_once_in_every_state(system: SystemHealth) -> None:
    """Told by the owner, or by the endpoint's own engine."""
    dead = endpoint(passed(1), EngineDied(5, "exit code -9"))
    assert liveness(dead, system=system, now=5) == Liveness(
        live=False,
        reason=LiveReason.ENGINE_DIED,
        why="n.backend.generate: engine died: exit code -9",
    )
    owners = system._replace(died=EngineDied(5, "gone"))
    assert liveness(system=owners, now=5) == Liveness(
        live=False, reason=LiveReason.ENGINE_DIED, why="engine died: gone"
    )


def test_work_given_up_does_not_take_a_stall_back() -> None:
    """Users who leave are no proof."""
    assert not liveness(endpoint(passed(1), busy(2), Tick(62), idle(70)), now=92).live


@pytest.mark.parametrize("readiness", [READY, NOTREADY])
def test_in_the_references_mode_liveness_is_readiness(readiness: Readiness) -> None:
    """Whatever else is known: both paths, one answer."""
    system = SystemHealth(like_readiness=True, died=EngineDied(1.0))
    told = system.liveness([HUNG], readiness, now=LONG)
    reason = LiveReason.LIVE if readiness.ready else LiveReason.NOT_READY
    assert told == Liveness(live=readiness.ready, reason=reason, why=readiness.why)


def test_the_next_fall_is_that_of_the_endpoint_that_falls_first() -> None:
    """So that someone can wait for it."""
    later = endpoint(passed(1), failed(20), name="later")
    system = SystemHealth()
    assert system.falls_at([later, HUNG, endpoint()], now=14) == 44
    assert system.falls_at([later, HUNG], now=44) == 50
    assert system.falls_at([later, HUNG], now=50) is None
    assert system.falls_at([], now=0) is None
