"""Who of several instances may be not live now."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.governor import Decision, Step, Surroundings, decide, slots_of

LIMIT = 600.0
EIGHT = frozenset(range(1, 9))


def decision(me: int = 1, check: str = "hang", **known: Any) -> Decision:
    """Decide for one of eight, of which nobody else wishes anything, unless said otherwise."""
    waited, budget = known.pop("waited", 0.0), known.pop("budget", "25%")
    told: dict[str, Any] = {"instances": EIGHT, "wishes": {}, "holders": {}} | known
    return decide(me, check, Surroundings(**told), budget=budget, waited=waited, limit=LIMIT)


def test_alone_it_goes() -> None:
    """There is nobody to be careful for, whether it is listed already or not."""
    assert decision(instances={1}).step is Step.GO
    assert decision(instances=()).step is Step.GO


def test_while_another_left_a_moment_ago_it_is_not_alone() -> None:
    """The record of the other may be on its way to another place; there are turns as ever."""
    assert decision(instances={1}, left={2})[::2] == (Step.CLAIM, 0)
    assert decision(instances={1}, left={2}, holders={0: 2}).step is Step.WAIT
    assert decision(instances={1}, left={1}).step is Step.GO
    assert decision(left={9}).step is Step.CLAIM


def test_the_first_goes_for_the_first_turn() -> None:
    """And is admitted when it holds it."""
    assert decision()[::2] == (Step.CLAIM, 0)
    held = decision(holders={0: 1})
    assert held == (Step.GO, "its turn: 1 of 2 at once", 0)


def test_past_the_budget_it_waits() -> None:
    """And says for whom."""
    full = decision(wishes={2: "hang", 3: "hang"}, holders={0: 2, 1: 3})
    assert full.step is Step.WAIT
    assert full.why == "2 of 2 instances are not live already, 0 wait before it"
    assert decision(me=8, wishes={7: "hang"}, holders={0: 2, 1: 3}).why.endswith("1 wait before it")


def test_they_go_for_different_turns() -> None:
    """So that they do not all try the same one."""
    wishes = {2: "hang", 5: "died", 7: "hang"}
    steps = [decision(me=one, wishes=wishes)[::2] for one in wishes]
    assert steps == [(Step.CLAIM, 0), (Step.CLAIM, 1), (Step.WAIT, None)]


def test_whose_turn_is_over_is_in_nobodys_way() -> None:
    """It still wishes, and waits for nothing."""
    wishes = {1: "hang", 2: "hang"}
    assert decision(me=2, wishes=wishes, budget="1").step is Step.WAIT
    assert decision(me=2, wishes=wishes, budget="1", admitted={1})[::2] == (Step.CLAIM, 0)


def test_while_all_fail_the_same_check_none_goes() -> None:
    """A shared cause is not mended by restarts; it is bounded all the same."""
    wishes = dict.fromkeys(EIGHT, "hang")
    shared = decision(wishes=wishes)
    assert shared.step is Step.WAIT
    assert shared.why == "all 8 instances fail the same check (hang): a shared cause"
    assert decision(wishes=wishes, waited=LIMIT).step is Step.CLAIM
    assert decision(wishes=wishes | {3: "engine_died"}).step is Step.CLAIM
    assert decision(wishes=dict.fromkeys(EIGHT - {3}, "hang")).step is Step.CLAIM


def test_a_wish_of_one_that_is_gone_counts_for_nothing() -> None:
    """Its entry may outlive its listing by a moment."""
    assert decision(me=2, wishes={99: "hang", 1: "hang"}, instances={1, 2, 3}).step is Step.WAIT
    assert decision(me=2, wishes={99: "hang"}, instances={1, 2, 3}).slot == 0


def test_without_word_of_discovery_it_waits_and_not_for_ever() -> None:
    """Nobody can be asked; nothing is kept alive because a server is away."""
    assert decision(blind_for=5.0, instances={1}).step is Step.WAIT
    assert decision(blind_for=LIMIT, wishes=dict.fromkeys(EIGHT, "hang")).step is Step.GO


def test_turns_beyond_the_budget_do_not_count() -> None:
    """The fleet has become smaller since they were taken."""
    assert decision(instances={1, 2, 3, 4}, holders={1: 3}).slot == 0


@pytest.mark.parametrize(
    ("budget", "instances", "slots"),
    [("25%", 8, 2), ("25%", 3, 1), ("100%", 5, 5), ("1%", 1000, 10), ("3", 2, 3), ("1", 50, 1)],
)
def test_the_budget_is_a_number_or_a_share(budget: str, instances: int, slots: int) -> None:
    """And at least one."""
    assert slots_of(budget, instances) == slots


@given(
    st.sets(st.integers(1, 12), min_size=2),
    st.dictionaries(st.integers(1, 12), st.sampled_from(["hang", "died"])),
    st.dictionaries(st.integers(0, 4), st.integers(1, 12)),
    st.sampled_from(["1", "2", "25%", "50%"]),
)
def test_no_two_go_for_one_turn_and_none_for_one_that_is_held(
    instances: set[int], wishes: dict[int, str], holders: dict[int, int], budget: str
) -> None:
    """However the fleet is."""
    known = Surroundings(instances, wishes, holders)
    slots = slots_of(budget, len(instances))
    claimed = []
    for one, check in wishes.items():
        if one not in instances:
            continue
        step = decide(one, check, known, budget=budget, waited=LIMIT, limit=LIMIT)
        if step.step is Step.GO:
            assert one in holders.values()
        if step.step is Step.CLAIM:
            claimed.append(step.slot)
    assert len(set(claimed)) == len(claimed)
    assert not set(claimed) & set(holders)
    assert all(slot is not None and slot < slots for slot in claimed)


@given(
    st.dictionaries(st.integers(1, 12), st.sampled_from(["hang", "died"]), min_size=2),
    st.sampled_from(["1", "2", "25%", "50%"]),
)
def test_while_a_turn_is_free_somebody_goes_for_it(wishes: dict[int, str], budget: str) -> None:
    """Nobody waits for nothing, once no shared cause holds them back."""
    known = Surroundings(set(wishes), wishes, {})
    steps = [
        decide(one, check, known, budget=budget, waited=LIMIT, limit=LIMIT).step
        for one, check in wishes.items()
    ]
    assert steps.count(Step.CLAIM) == min(slots_of(budget, len(wishes)), len(wishes))
