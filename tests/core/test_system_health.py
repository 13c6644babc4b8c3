"""Readiness of the process: the first rule that applies decides, and says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from serinus.core.address import EndpointAddress
from serinus.core.evidence import CanaryFault, EngineDied
from serinus.core.status import HealthStatus, Reason, Rule
from serinus.core.system_health import (
    EndpointHealth,
    Hold,
    Readiness,
    SystemHealth,
    display_names,
)
from serinus.core.verdict import Standing
from tests.core.lives import AT_ONCE, RULES, failed, life, passed

UP = life(passed(1))
DOWN = life(passed(1), failed(14), rules=AT_ONCE)
NEW = life()
DECLARED = life(canary=False)


def endpoint(
    address: str, standing: Standing = UP, *, payload: bool = True, failing: tuple[str, ...] = ()
) -> EndpointHealth:
    """One endpoint as the fold sees it."""
    return EndpointHealth(EndpointAddress.parse(address), standing, RULES, payload, failing)


GENERATE = endpoint("n.backend.generate")
BROKEN = endpoint("n.backend.generate", DOWN)
CLEAR = endpoint("n.backend.clear", DECLARED, payload=False)
READY = HealthStatus.READY

RULES_IN_ORDER: dict[Rule, Mapping[str, Any]] = {
    Rule.DRAINING: {"draining": True},
    Rule.ENGINE_DIED: {"died": EngineDied(5.0, "exit code -9")},
    Rule.HOLD: {"holds": (Hold("warming up", 1.0),)},
    Rule.CHECKS: {},
    Rule.NAMED_ENDPOINTS: {"named": ("absent",)},
}


@pytest.mark.parametrize("first", range(len(RULES_IN_ORDER)), ids=list(RULES_IN_ORDER))
def test_the_first_rule_that_applies_decides(first: int) -> None:
    """With every later rule applying too."""
    applying = list(RULES_IN_ORDER.items())[first:]
    system = SystemHealth(canaries=True)
    for _, change in applying:
        system = system._replace(**change)
    checks = ("disk",) if first <= 3 else ()
    readiness = system.readiness([BROKEN], checks)
    assert readiness.rule is applying[0][0]
    assert not readiness.ready


def test_draining_says_so() -> None:
    """The text that a person reads."""
    assert SystemHealth(draining=True).readiness([GENERATE]) == Readiness(
        HealthStatus.NOTREADY, Rule.DRAINING, "draining: in-flight requests end, no new ones"
    )


def test_the_engines_death_is_told_with_its_words() -> None:
    """What the owner said."""
    died = SystemHealth(died=EngineDied(5.0, "exit code -9")).readiness([GENERATE])
    assert died.why == "engine died: exit code -9"


def test_every_hold_is_named() -> None:
    """One who waits for readiness sees who withholds it."""
    held = SystemHealth(holds=(Hold("warming up", 1.0), Hold("peer missing", 2.0)))
    readiness = held.readiness([GENERATE])
    assert (readiness.rule, readiness.why) == (
        Rule.HOLD,
        "hold: warming up; hold: peer missing",
    )


def test_failing_checks_of_the_process_are_named() -> None:
    """In the way stand those that do not pass."""
    readiness = SystemHealth().readiness([GENERATE], ("disk", "licence"))
    assert readiness == Readiness(
        HealthStatus.NOTREADY,
        Rule.CHECKS,
        "checks of the process do not pass",
        ("disk", "licence"),
    )


def test_named_endpoints_that_are_ready_make_the_process_ready() -> None:
    """Those named decide alone: another one that is down does not matter."""
    system = SystemHealth(named=("generate",), canaries=True)
    readiness = system.readiness([GENERATE, endpoint("n.backend.other", DOWN)])
    assert readiness == Readiness(READY, Rule.NAMED_ENDPOINTS, "all 1 ready")


def test_a_named_endpoint_that_is_not_ready_is_in_the_way() -> None:
    """With its full address and its reason."""
    readiness = SystemHealth(named=("generate",)).readiness([BROKEN, CLEAR])
    assert readiness == Readiness(
        HealthStatus.NOTREADY,
        Rule.NAMED_ENDPOINTS,
        "1 of 1 not ready",
        ("n.backend.generate: canary_timeout",),
    )


def test_a_named_endpoint_that_is_missing_is_not_ready() -> None:
    """As the reference has it: an empty worker named `generate` is a 503."""
    readiness = SystemHealth(named=("generate", "x.y.z", "clear")).readiness([CLEAR])
    assert readiness == Readiness(
        HealthStatus.NOTREADY,
        Rule.NAMED_ENDPOINTS,
        "named endpoints are not registered",
        ("generate", "x.y.z"),
    )


def test_a_name_shared_by_two_components_means_both() -> None:
    """They are two endpoints, and each has its own status."""
    prefill, decode = endpoint("n.prefill.generate"), endpoint("n.decode.generate", DOWN)
    system = SystemHealth(named=("generate",))
    assert system.readiness([prefill, decode]).blocking == ("n.decode.generate: canary_timeout",)
    assert system.readiness([prefill, endpoint("n.decode.generate")]).why == "all 2 ready"


def test_a_full_address_names_one_of_two() -> None:
    """The other's hang is not its own."""
    prefill, decode = endpoint("n.prefill.generate"), endpoint("n.decode.generate", DOWN)
    system = SystemHealth(named=("n.prefill.generate",))
    assert system.readiness([prefill, decode]).ready
    both = SystemHealth(named=("n.prefill.generate", "generate"))
    assert both.readiness([prefill, endpoint("n.decode.generate")]).why == "all 2 ready"


def test_a_named_endpoint_without_a_payload_counts_as_it_stands() -> None:
    """Declared is ready."""
    assert SystemHealth(named=("clear",)).readiness([CLEAR]).ready


def test_endpoints_with_a_payload_decide_where_none_is_named() -> None:
    """Those without one are left out."""
    down = endpoint("n.backend.clear", DOWN, payload=False)
    readiness = SystemHealth().readiness([GENERATE, down])
    assert readiness == Readiness(READY, Rule.ENDPOINTS_WITH_PAYLOAD, "all 1 ready")


def test_all_endpoints_with_a_payload_must_be_ready() -> None:
    """One that is new is not."""
    readiness = SystemHealth().readiness([GENERATE, endpoint("n.b.embed", NEW), CLEAR])
    assert readiness == Readiness(
        HealthStatus.NOTREADY,
        Rule.ENDPOINTS_WITH_PAYLOAD,
        "1 of 2 not ready",
        ("n.b.embed: unproven",),
    )


def test_with_canaries_and_no_payload_all_known_endpoints_decide() -> None:
    """The process-wide status does not."""
    readiness = SystemHealth(canaries=True).readiness([CLEAR])
    assert readiness == Readiness(READY, Rule.ALL_ENDPOINTS, "all 1 ready")
    dead = endpoint("n.b.clear", life(EngineDied(1.0), canary=False), payload=False)
    assert SystemHealth(canaries=True).readiness([CLEAR, dead]).blocking == (
        "n.b.clear: engine_died",
    )


def test_a_system_begins_not_ready_and_without_canaries() -> None:
    """As the reference does."""
    assert SystemHealth() == SystemHealth(
        HealthStatus.NOTREADY, (), canaries=False, like_readiness=False, draining=False, died=None
    )


@pytest.mark.parametrize("status", HealthStatus)
@pytest.mark.parametrize(("canaries", "endpoints"), [(False, [CLEAR]), (False, []), (True, [])])
def test_the_process_wide_status_decides_where_no_endpoint_does(
    status: HealthStatus, canaries: bool, endpoints: list[EndpointHealth]
) -> None:
    """The trap of the reference: `generate: ready` under a 503; here the report says why."""
    system = SystemHealth(process_status=status, canaries=canaries)
    assert system.readiness(endpoints) == Readiness(
        status,
        Rule.PROCESS_STATUS,
        f"no endpoint decides; the process-wide status is {status}",
    )


def test_the_process_wide_status_is_ignored_once_an_endpoint_decides() -> None:
    """In both directions."""
    assert SystemHealth(process_status=HealthStatus.NOTREADY).readiness([GENERATE]).ready
    assert not SystemHealth(process_status=READY).readiness([BROKEN]).ready


def test_an_endpoint_whose_own_check_fails_is_not_ready() -> None:
    """Its verdict may be good; the world is shown the whole."""
    failing = endpoint("n.b.generate", failing=("lora",))
    assert not failing.ready
    assert (failing.status, failing.reason) == (HealthStatus.NOTREADY, Reason.CHECK_FAILED)
    assert SystemHealth().readiness([failing]).blocking == ("n.b.generate: check_failed",)


def test_the_verdicts_own_reason_comes_before_a_failing_check() -> None:
    """What is worse is said."""
    failing = endpoint("n.b.generate", DOWN, failing=("lora",))
    assert failing.reason is Reason.CANARY_TIMEOUT
    assert GENERATE.reason is Reason.CANARY
    assert (GENERATE.status, BROKEN.status) == (READY, HealthStatus.NOTREADY)


def test_two_endpoints_of_one_name_never_share_a_status() -> None:
    """Shown in full where their names are the same."""
    addresses = [
        EndpointAddress.parse(text) for text in ("n.a.generate", "n.b.generate", "n.a.clear")
    ]
    assert display_names(addresses) == dict(
        zip(addresses, ("n.a.generate", "n.b.generate", "clear"), strict=True)
    )
    assert display_names([]) == {}


@pytest.mark.parametrize("fault", CanaryFault)
def test_every_reason_says_what_would_change_it(fault: CanaryFault) -> None:
    """A person at 3 a.m. reads it."""
    assert life(failed(3, fault)).verdict.reason.remedy


@pytest.mark.parametrize("reason", Reason)
def test_no_reason_is_without_a_remedy(reason: Reason) -> None:
    """The vocabulary is closed, and each word of it is explained."""
    assert reason.remedy
