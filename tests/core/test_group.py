"""Groups: how the verdicts of members become one, by kind, policy and role."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.address import EndpointAddress
from serinus.core.evidence import CanaryFault, EngineDied
from serinus.core.group import DECODE, PREFILL, Group, GroupHealth, Kind, Member
from serinus.core.policy import ALL, Policy
from serinus.core.status import LiveReason, Reason
from serinus.core.system_health import EndpointHealth, Hold, SystemHealth
from serinus.core.verdict import Standing
from serinus.errors import SettingsError
from tests.core.lives import AT_ONCE, RULES, failed, life, passed

HERE = EndpointAddress.parse("serinus.vllm.generate")
UP = life(passed(1))
HUNG = life(passed(1), failed(14), rules=AT_ONCE)
REFUSED = life(passed(1), failed(20, CanaryFault.REFUSED), rules=AT_ONCE)
DEAD = life(passed(1), EngineDied(9.0, "exit code -9"))
NEW = life()


def endpoint(standing: Standing, name: str) -> EndpointHealth:
    """One member as the fold sees it."""
    return EndpointHealth(HERE._replace(endpoint=name), standing, RULES, payload=True)


def ranks(*standings: Standing, policy: str = "all") -> GroupHealth:
    """A data-parallel group."""
    members = [
        Member(f"rank {number}", endpoint(standing, f"generate-rank-{number}"), rank=number)
        for number, standing in enumerate(standings)
    ]
    return GroupHealth(Group.of(HERE, "data-parallel", policy), tuple(members))


def pair(
    prefill: tuple[Standing, ...], decode: tuple[Standing, ...], policy: str = "any"
) -> GroupHealth:
    """A prefill/decode pair."""
    members = [
        Member(f"{role} {number}", endpoint(standing, f"{role}{number}"), role)
        for role, side in ((PREFILL, prefill), (DECODE, decode))
        for number, standing in enumerate(side)
    ]
    return GroupHealth(Group.of(HERE, "prefill-decode", policy), tuple(members))


@pytest.mark.parametrize(
    ("policy", "needed"),
    [
        ("all", 4),
        ("any", 1),
        ("majority", 3),
        ("3", 3),
        ("75%", 3),
        ("51 %", 3),
        ("7", 7),
        ("1%", 1),
    ],
)
def test_a_policy_asks_for_so_many_of_four(policy: str, needed: int) -> None:
    """A share is rounded up; a number is asked for even where there are fewer."""
    assert Policy.parse(policy).needed(4) == needed


@pytest.mark.parametrize("text", ["most", "", "0", "-1", "0%", "101%", "1.5", "½"])
def test_what_is_no_policy_says_what_would_be(text: str) -> None:
    """The value, and what is accepted."""
    with pytest.raises(SettingsError, match="accepted: all, any, majority"):
        Policy.parse(text)


def test_the_default_is_that_all_must_be_ready() -> None:
    """Who balances inside a group does not know which of its members hangs."""
    assert Group(HERE).policy == ALL
    assert not ranks(UP, UP, HUNG, UP).ready


@pytest.mark.parametrize(
    ("policy", "ready"), [("all", False), ("majority", True), ("3", True), ("any", True)]
)
def test_the_policy_decides_of_three_in_four(policy: str, ready: bool) -> None:
    """The same members, another answer."""
    assert ranks(UP, UP, HUNG, UP, policy=policy).ready is ready


def test_it_is_said_how_many_are_ready_and_what_of_the_others() -> None:
    """The text that a person reads."""
    assert ranks(UP, UP, HUNG, UP).why(26.0) == (
        "3 of 4 ranks ready; rank 2: canary_timeout for 12.0 s"
    )


def test_a_group_that_serves_without_some_of_its_members_is_degraded() -> None:
    """It stays ready, and does not look whole."""
    group = ranks(UP, HUNG, policy="any")
    assert group.ready
    assert group.degraded == ("members_not_ready",)
    assert group.flaws == ("1 of 2 ranks ready; rank 1: canary_timeout",)
    assert not ranks(UP, UP, policy="any").degraded


def test_what_is_off_of_a_member_is_off_of_the_group() -> None:
    """By the same word, with the member's name."""
    slow = endpoint(UP, "generate-rank-0")._replace(degraded=("slow",), flaws=("0.4 s",))
    group = GroupHealth(Group(HERE), (Member("rank 0", slow, rank=0),))
    assert (group.degraded, group.flaws) == (("slow",), ("rank 0: 0.4 s",))


def test_many_that_are_missing_are_counted() -> None:
    """A line stays a line."""
    assert ranks(*[HUNG] * 6).why().endswith("; rank 3: canary_timeout; 2 more")


def test_the_reason_is_that_of_the_member_that_is_missing_longest() -> None:
    """It decided first."""
    assert ranks(REFUSED, HUNG, UP).reason is Reason.CANARY_TIMEOUT
    assert ranks(UP, UP).reason is Reason.CANARY
    assert GroupHealth(Group(HERE)).reason is Reason.UNPROVEN


@pytest.mark.parametrize("policy", ["any", "2", "50%"])
def test_a_sharded_group_has_all_of_its_members_or_serves_nobody(policy: str) -> None:
    """Every request goes through all of them."""
    with pytest.raises(SettingsError, match="cannot serve without all of its members"):
        Group.of(HERE, Kind.SHARDED, policy)


def test_an_unknown_kind_says_which_there_are() -> None:
    """The value, and what is accepted."""
    with pytest.raises(SettingsError, match="accepted: data-parallel, sharded, prefill-decode"):
        Group.of(HERE, "dp")


def test_both_sides_of_a_pair_are_needed_and_the_missing_one_is_named() -> None:
    """One side alone serves nobody."""
    group = pair((UP, UP), (HUNG,))
    assert not group.ready
    assert group.lacking == (DECODE,)
    assert group.why() == "2 of 2 prefill ready, 0 of 1 decode ready; decode 0: canary_timeout"


def test_the_policy_of_a_pair_is_that_of_each_side() -> None:
    """One of two decode workers is enough for `any`, and not for `all`."""
    assert pair((UP,), (UP, HUNG)).ready
    assert pair((UP,), (UP, HUNG), policy="all").lacking == (DECODE,)


def test_a_side_without_a_member_is_missing() -> None:
    """Nobody declared it, or it left."""
    group = pair((UP,), ())
    assert not group.ready
    assert group.why() == "1 of 1 prefill ready; no decode is known"


def test_a_restart_is_asked_for_when_the_policy_cannot_be_met_without() -> None:
    """One rank of two that hangs past its budget is enough for `all`, and not for `any`."""
    past = 14.0 + RULES.hang + 1
    fallen = ranks(UP, HUNG).falls(past)
    assert fallen is not None
    assert fallen[0] is LiveReason.HANG
    assert fallen[1].startswith("serinus.vllm.generate: 1 of 2 ranks cannot serve; ")
    assert ranks(UP, HUNG, policy="any").falls(past) is None
    assert ranks(HUNG, HUNG, policy="any").falls(past) is not None
    assert ranks(UP, HUNG).falls(20.0) is None


def test_time_alone_makes_it_fall_when_the_last_one_that_is_needed_is_lost() -> None:
    """So that the world can be told at that moment."""
    later = life(passed(1), failed(24), rules=AT_ONCE)
    assert ranks(HUNG, later).falls_at() == 14 + RULES.hang
    assert ranks(HUNG, later, policy="any").falls_at() == 24 + RULES.hang
    assert ranks(HUNG, UP, policy="any").falls_at() is None


def test_a_death_of_a_member_counts_at_once_and_a_hold_excuses_hangs_alone() -> None:
    """As for endpoints that stand alone."""
    assert ranks(UP, DEAD).falls(9.0) == (
        LiveReason.ENGINE_DIED,
        f"{HERE}: 1 of 2 ranks cannot serve; {HERE}-rank-1: engine died: exit code -9",
    )
    held = SystemHealth(holds=(Hold("warming up", 1.0),))
    for group, live in ((ranks(UP, DEAD), False), (ranks(UP, HUNG), True)):
        readiness = held.readiness([group])
        assert held.liveness([group], readiness, now=1e6).live is live


def test_a_group_is_one_in_the_readiness_of_the_process() -> None:
    """What stands in the way is told in the group's words."""
    other = EndpointHealth(EndpointAddress.parse("n.c.other"), UP, RULES, payload=True)
    readiness = SystemHealth().readiness([ranks(UP, HUNG), other])
    assert readiness.why == "1 of 2 not ready"
    assert readiness.blocking == (
        "serinus.vllm.generate: 1 of 2 ranks ready; rank 1: canary_timeout",
    )


def test_a_member_that_is_named_decides_itself() -> None:
    """Settings may ask for one rank by its address."""
    group = ranks(UP, HUNG, policy="any")
    members = [member.health for member in group.members]
    named = SystemHealth(named=("generate-rank-1",))
    assert not named.readiness([group], members=members).ready
    assert SystemHealth(named=("generate",)).readiness([group], members=members).ready


STANDINGS = st.lists(st.sampled_from([UP, HUNG, REFUSED, DEAD, NEW]), min_size=1, max_size=8)
POLICIES = st.sampled_from(["all", "any", "majority", "2", "30%", "75%"])


@given(STANDINGS, POLICIES)
def test_ready_is_that_as_many_are_ready_as_are_needed(
    standings: list[Standing], policy: str
) -> None:
    """And nothing else; the count is right, and everybody who is missing is named."""
    group = ranks(*standings, policy=policy)
    ready = sum(standing.verdict.ready for standing in standings)
    assert group.ready is (ready >= Policy.parse(policy).needed(len(standings)))
    assert group.why().startswith(f"{ready} of {len(standings)} ranks ready")
    assert len(group.missing) == len(standings) - ready
    assert bool(group.lacking) is not group.ready


@given(STANDINGS, POLICIES, st.integers(0, 7))
def test_one_more_that_is_ready_never_makes_a_group_less_ready(
    standings: list[Standing], policy: str, place: int
) -> None:
    """Whatever the policy."""
    better = list(standings)
    better[place % len(better)] = UP
    assert ranks(*better, policy=policy).ready >= ranks(*standings, policy=policy).ready


@given(STANDINGS, POLICIES, st.floats(0, 200))
def test_a_group_falls_at_the_time_that_it_says(
    standings: list[Standing], policy: str, now: float
) -> None:
    """Not before, and never while it is ready."""
    group = ranks(*standings, policy=policy)
    falls_at = group.falls_at()
    assert (group.falls(now) is not None) is (falls_at is not None and now >= falls_at)
    assert not (group.ready and falls_at is not None)


@given(STANDINGS, POLICIES)
def test_a_group_has_been_as_it_is_since_one_of_its_members_turned(
    standings: list[Standing], policy: str
) -> None:
    """Never at a time at which nothing happened."""
    turned = {standing.verdict.since for standing in standings}
    assert ranks(*standings, policy=policy).since in turned


def test_since_is_when_one_too_few_were_left() -> None:
    """A rank that falls later changes nothing of it."""
    assert ranks(UP, HUNG, REFUSED).since == 14
    assert ranks(UP, HUNG, REFUSED, policy="2").since == 20
    assert GroupHealth(Group(HERE)).since is None
