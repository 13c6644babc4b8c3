"""The fold of instances into the fleet's health."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.core.address import EndpointAddress
from serinus.core.fleet import UNREACHABLE, Fleet, FleetRules, PoolState, Standing, role_of
from serinus.core.instance import Instance
from serinus.core.topology import Role, needs_of
from tests.core.fleets import NOTREADY, facts, instance, put

HERE = EndpointAddress.parse("demo.backend.generate")


def of(fleet: Fleet) -> object:
    """Everything that a fleet says."""
    names = [f"{a}/{b}/{c}/{n}" for a, b, c in fleet.addresses for n in (1, 2, 3)]
    return (
        fleet.totals,
        list(fleet.pools()),
        {model: fleet.model(model) for model in fleet.models},
        {name: (fleet.standing(name), fleet.usable(name)) for name in names},
    )


@given(st.lists(facts(), max_size=40), st.sampled_from([True, False]), st.randoms())
def test_kept_up_it_is_what_a_fold_from_scratch_gives(
    history: list[Callable[[Fleet], None]], eject: bool, random: Random
) -> None:
    """A change costs a few counters, and leaves the same fleet as if all were counted anew."""
    rules = FleetRules(eject=eject)
    kept_up = Fleet(rules)
    for fact in history:
        fact(kept_up)
    told: dict[tuple[str, ...], tuple[str, tuple[object, ...], dict[str, object]]] = {}
    watch = _Watch(told)
    for fact in history:
        fact(watch)
    left = list(told.values())
    random.shuffle(left)
    scratch = Fleet(rules)
    for method, given_, named in left:
        getattr(scratch, method)(*given_, **named)
    assert of(kept_up) == of(scratch)


class _Watch(Fleet):
    """Keeps what is left of all that it is told, and folds nothing."""

    def __init__(
        self, told: dict[tuple[str, ...], tuple[str, tuple[object, ...], dict[str, object]]]
    ) -> None:
        super().__init__()
        self._told = told

    def put(self, name: str, instance: Instance) -> None:
        self._told["instance", name] = ("put", (name, instance), {})

    def remove(self, name: str) -> None:
        self._told.pop(("instance", name), None)

    def see(self, name: str, *, reachable: bool) -> None:
        self._told["seen", name] = ("see", (name,), {"reachable": reachable})

    def put_card(self, name: str, key: str, namespace: str, role: Role) -> None:
        self._told["card", name, key] = ("put_card", (name, key, namespace, role), {})

    def remove_card(self, name: str, key: str) -> None:
        self._told.pop(("card", name, key), None)


@given(st.lists(facts(), max_size=30))
def test_what_changed_is_among_what_was_touched(history: list[Callable[[Fleet], None]]) -> None:
    """Whoever renders only what was touched renders everything that changed."""
    fleet = Fleet()
    for fact in history:
        pools = {pool.address: pool for pool in fleet.pools()}
        models = {model: fleet.model(model) for model in fleet.models}
        fleet.touched.clear()
        fleet.touched_models.clear()
        fact(fleet)
        after = {pool.address: pool for pool in fleet.pools()}
        models_after = {model: fleet.model(model) for model in fleet.models}
        assert {a for a in pools | after if pools.get(a) != after.get(a)} <= fleet.touched
        changed = {m for m in models | models_after if models.get(m) != models_after.get(m)}
        assert changed <= fleet.touched_models


@given(st.lists(facts(), max_size=30))
def test_counts_agree_with_the_instances(history: list[Callable[[Fleet], None]]) -> None:
    """No count is negative, and the pools' come to the fleet's."""
    fleet = Fleet()
    for fact in history:
        fact(fleet)
    pools = list(fleet.pools())
    assert fleet.totals.instances == sum(pool.total for pool in pools)
    assert fleet.totals.ready == sum(pool.ready for pool in pools)
    for pool in pools:
        assert 0 <= pool.ready <= pool.usable <= pool.total
        assert sum(count for _, count in pool.reasons) == pool.total - pool.ready


def test_nothing_is_left_of_a_fleet_that_is_gone() -> None:
    """Memory follows the fleet."""
    fleet = Fleet()
    one = instance(1, model="m", worker_type="decode")
    fleet.put(one.name, one)
    fleet.see(one.name, reachable=False)
    fleet.put_card(one.name, "card", "demo", Role("other"))
    fleet.remove(one.name)
    fleet.remove_card(one.name, "card")
    fleet.see(one.name, reachable=True)
    assert (fleet.addresses, fleet.models, fleet._entries) == ([], [], {})


def test_a_worker_that_does_not_say_how_it_is_counts_as_ready() -> None:
    """The reference's workers announce no status; that they are listed is all that is known."""
    fleet = Fleet()
    put(fleet, instance(1, None))
    assert fleet.standing("demo/backend/generate/1") is Standing.READY


@pytest.mark.parametrize(
    ("ready", "total", "state"),
    [
        (4, 4, PoolState.HEALTHY),
        (3, 4, PoolState.HEALTHY),
        (2, 3, PoolState.SHORT),
        (1, 2, PoolState.SHORT),
        (1, 3, PoolState.PANIC),
        (0, 3, PoolState.DOWN),
    ],
)
def test_a_pool_is_as_its_share(ready: int, total: int, state: PoolState) -> None:
    """Short below the minimum, in panic below the threshold, down when none is left."""
    fleet = Fleet(FleetRules(minimum=0.75, panic=0.5))
    for number in range(1, total + 1):
        if number <= ready:
            put(fleet, instance(number))
        else:
            put(fleet, instance(number, NOTREADY, reason="canary_timeout"))
    pool = fleet.pool(HERE)
    assert pool is not None
    assert pool.state is state


def test_what_is_unreachable_from_outside_is_told_from_what_is_not_ready() -> None:
    """It is ready in its own eyes; requests are kept away from it by what others see."""
    fleet = Fleet()
    put(fleet, *map(instance, (1, 2, 3)))
    fleet.see("demo/backend/generate/2", reachable=False)
    pool = fleet.pool(HERE)
    assert pool is not None
    assert (pool.ready, pool.unreachable, pool.usable) == (2, 1, 2)
    assert pool.reasons == ((UNREACHABLE, 1),)
    assert not fleet.usable("demo/backend/generate/2")
    assert fleet.usable("demo/backend/generate/1")


def test_in_panic_nobody_is_left_out_for_what_others_say() -> None:
    """Most are called unreachable at once: more likely the one who looks is cut off."""
    fleet = Fleet()
    put(fleet, *map(instance, (1, 2, 3)), instance(4, NOTREADY, reason="stalled"))
    for number in (1, 2, 3):
        fleet.see(f"demo/backend/generate/{number}", reachable=False)
    pool = fleet.pool(HERE)
    assert pool is not None
    assert (pool.ready, pool.usable, pool.state) == (0, 3, PoolState.PANIC)
    assert fleet.usable("demo/backend/generate/1")
    assert not fleet.usable("demo/backend/generate/4"), "what it says of itself is believed"


def test_by_policy_what_is_unreachable_is_only_reported() -> None:
    """Whoever does not trust the view from outside has it shown and no more."""
    fleet = Fleet(FleetRules(eject=False))
    put(fleet, *map(instance, (1, 2, 3)))
    fleet.see("demo/backend/generate/2", reachable=False)
    pool = fleet.pool(HERE)
    assert pool is not None
    assert (pool.ready, pool.unreachable, pool.usable) == (2, 1, 3)


@pytest.mark.parametrize(
    ("reasons", "cause"),
    [
        (["canary_timeout", "canary_timeout"], "canary_timeout"),
        (["canary_timeout", "stalled"], ""),
        (["canary_timeout"], ""),
        (["first_token", "first_token"], ""),
        (["canary_timeout", None], ""),
    ],
)
def test_a_cause_is_shared_when_all_fail_for_one_reason(
    reasons: list[str | None], cause: str
) -> None:
    """Two or more, none of them ready, one reason, and one that is a failure."""
    fleet = Fleet()
    for number, reason in enumerate(reasons, 1):
        put(fleet, instance(number, NOTREADY, reason=reason) if reason else instance(number))
    pool = fleet.pool(HERE)
    assert pool is not None
    assert pool.shared_cause == cause


def test_a_model_needs_the_types_that_its_workers_need() -> None:
    """Decode without prefill serves nothing, however ready it is."""
    fleet = Fleet()
    put(fleet, instance(1, model="m", worker_type="decode"))
    found = fleet.model("m")["demo"]
    assert (found.ready, found.missing) == (False, ("prefill",))
    put(fleet, instance(2, at="demo.prefill.generate", model="m", worker_type="prefill"))
    assert fleet.model_ready("m")
    put(
        fleet,
        instance(
            2,
            NOTREADY,
            at="demo.prefill.generate",
            reason="stalled",
            model="m",
            worker_type="prefill",
        ),
    )
    assert fleet.model("m")["demo"].reason == "missing worker types: prefill"


def test_namespaces_do_not_help_each_other_out() -> None:
    """Each namespace is a deployment of its own."""
    fleet = Fleet()
    put(fleet, instance(1, model="m", worker_type="decode"))
    put(fleet, instance(2, at="other.prefill.generate", model="m", worker_type="prefill"))
    assert not fleet.model_ready("m")


def test_a_card_without_its_instance_is_a_worker_that_cannot_serve() -> None:
    """A model that is announced by a worker that is not listed is known, and not ready."""
    fleet = Fleet()
    role = Role("m", "decode", needs_of("decode"))
    fleet.put_card("demo/backend/generate/1", "card", "demo", role)
    assert fleet.models == ["m"]
    assert fleet.model("m")["demo"].missing == ("decode",)
    assert fleet.totals.instances == 0
    put(fleet, instance(1, None))
    assert fleet.model("m")["demo"].missing == ("prefill",)


@pytest.mark.parametrize("needs", [[1], [None], [["prefill"], 7], "prefill", {"a": 1}])
def test_needs_that_are_no_lists_are_left_out(needs: object) -> None:
    """A record may be anybody's: whatever it says, the fold goes on."""
    facts = {"model": "m", "worker_type": "decode", "needs": needs}
    role = role_of(Instance(EndpointAddress("n", "c", "e"), 1, {}, facts=facts))
    assert role is not None
    assert all(isinstance(kind, str) for one in role.needs for kind in one)
