"""What a frontend makes of what is announced."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from serinus.core.fleet import Standing
from serinus.core.stage import Stage
from serinus.discovery.memory import Memory
from serinus.discovery.records import INSTANCES, MODELS, key_of
from tests.frontend.fleet import HERE, NOTREADY, announce, instance, seen, withdraw, worker

DYNAMO = {
    "type": "Endpoint",
    "component": "backend",
    "endpoint": "generate",
    "namespace": "demo",
    "instance_id": 8220934814706240729,
    "transport": {"tcp": "127.0.0.1:37603/7216a0a858350cd9/demo/backend/generate"},
    "device_type": "cuda",
    "request_plane_codec": "msgpack",
}
"""As Dynamo 1.6.1 writes it."""
DYNAMO_NAME = "demo/backend/generate/7216a0a858350cd9"


def card(model: str, worker_type: str | None, needs: list[list[str]]) -> bytes:
    """A model card with the fields of Dynamo 1.6.1 that matter here."""
    told: dict[str, Any] = {"display_name": model, "worker_type": worker_type, "needs": needs}
    return json.dumps({"type": "Model", "namespace": "demo", "card_json": told}).encode()


async def test_endpoints_are_listed_once_and_sorted() -> None:
    """As the reference lists them."""
    store = Memory()
    async with (
        seen(store) as frontend,
        worker(store, instance(1, at="b.c.d"), instance(1), instance(2)),
    ):
        told = frontend.health()
        assert told["endpoints"] == ["dyn://b.c.d", "dyn://demo.backend.generate"]
        assert [one["instance_id"] for one in told["instances"]] == [1, 1, 2]


async def test_a_worker_of_the_reference_is_shown_with_the_fields_that_it_has() -> None:
    """As its own frontend shows it: everything but the type of the record."""
    store = Memory()
    async with seen(store) as frontend, worker(store) as other:
        other.announce(INSTANCES + DYNAMO_NAME, json.dumps(DYNAMO).encode())
        await asyncio.sleep(0.5)
        expected = {name: value for name, value in DYNAMO.items() if name != "type"}
        assert frontend.health()["instances"] == [expected]


async def test_a_worker_that_ends_leaves_the_list() -> None:
    """It takes back what it announced."""
    store = Memory()
    async with seen(store) as frontend:
        async with worker(store, instance(1)):
            assert frontend.health()["endpoints"] == [HERE.url]
        await asyncio.sleep(0.5)
        assert frontend.health() == {
            "status": "healthy",
            "stage": "ready",
            "endpoints": [],
            "instances": [],
        }


async def test_what_is_withdrawn_is_counted_and_not_listed() -> None:
    """Routers read the list; people and autoscalers hear of those that are not ready, too."""
    store = Memory()
    one = instance(1, NOTREADY, reason="canary_timeout")
    async with seen(store) as frontend, worker(store, instance(1), instance(2)) as other:
        withdraw(other, one)
        await asyncio.sleep(0.5)
        assert [i["instance_id"] for i in frontend.health()["instances"]] == [2]
        assert frontend.view.fleet.totals.instances == 2
        assert frontend.view.fleet.standing(one.name) is Standing.NOTREADY
        assert frontend.view.amiss[one.name].reason == "canary_timeout"
        announce(other, instance(1))
        other.withdraw("v1/withdrawn/" + one.name)
        await asyncio.sleep(0.5)
        assert sorted(i["instance_id"] for i in frontend.health()["instances"]) == [1, 2]
        assert not frontend.view.amiss


async def test_what_is_listed_and_withdrawn_at_once_is_not_ready() -> None:
    """Between the two steps its own word that it is not ready goes before."""
    store = Memory()
    async with seen(store) as frontend, worker(store) as other:
        one = instance(1, NOTREADY, reason="stalled")
        other.announce("v1/withdrawn/" + one.name, b'{"serinus": {"status": "notready"}}')
        withdraw(other, one)
        await asyncio.sleep(0.5)
        announce(other, instance(1))
        await asyncio.sleep(0.5)
        assert frontend.health()["instances"] == []


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (b"{nonsense", "Expecting property name"),
        (b"[]", "is a list where an object is expected"),
        (json.dumps(DYNAMO | {"instance_id": -1}).encode(), "no unsigned 64-bit number"),
        (json.dumps(DYNAMO | {"instance_id": 5}).encode(), "is of demo/backend/generate/5"),
        (b"\xff\xfe\x00", "can't decode"),
    ],
)
async def test_a_foreign_record_is_skipped_counted_and_named(record: bytes, why: str) -> None:
    """And what comes after it is read."""
    store = Memory()
    async with seen(store) as frontend, worker(store) as other:
        other.announce(INSTANCES + DYNAMO_NAME, record)
        announce(other, instance(2))
        await asyncio.sleep(0.5)
        assert [one["instance_id"] for one in frontend.health()["instances"]] == [2]
        assert frontend.view.foreign_now == 1
        assert why in frontend.view.foreign[INSTANCES + DYNAMO_NAME]
        other.withdraw(INSTANCES + DYNAMO_NAME)
        await asyncio.sleep(0.5)
        assert (frontend.view.foreign_now, frontend.view.foreign_total) == (0, 1)


async def test_what_the_backend_left_out_is_counted_and_named_like_a_record() -> None:
    """An object that is no entry never becomes a record; it is seen all the same."""
    store = Memory()
    async with seen(store) as frontend, worker(store) as other:
        other.announce(INSTANCES + DYNAMO_NAME, b"{nonsense")
        await asyncio.sleep(0.5)
        store.foreign.found("v1/instances", {"stranger": "no annotation"})
        assert (frontend.view.foreign_now, frontend.view.foreign_total) == (2, 2)
        assert frontend.view.foreign["stranger"] == "no annotation"
        assert frontend.bodies.details()["foreign"]["now"] == 2
        store.foreign.found("v1/instances", {})
        assert (frontend.view.foreign_now, frontend.view.foreign_total) == (1, 2)


async def test_a_record_that_can_no_longer_be_read_is_no_instance_any_more() -> None:
    """What it was before is not believed for longer."""
    store = Memory()
    async with seen(store) as frontend, worker(store, instance(1)) as other:
        other.announce(key_of(instance(1)), b"garbage")
        await asyncio.sleep(0.5)
        assert frontend.health()["instances"] == []
        assert frontend.view.fleet.totals.instances == 0


async def test_model_cards_of_the_reference_give_instances_their_roles() -> None:
    """Decode without prefill cannot serve; with it, it can."""
    store = Memory()
    async with seen(store) as frontend, worker(store, instance(1, None)) as other:
        other.announce(f"{MODELS}{instance(1).name}", card("tiny", "decode", [["prefill"]]))
        await asyncio.sleep(0.5)
        found = frontend.view.fleet.model("tiny")["demo"]
        assert (found.ready, found.missing) == (False, ("prefill",))
        second = instance(2, None, at="demo.prefill.generate")
        announce(other, second)
        other.announce(f"{MODELS}{second.name}", card("tiny", "prefill", []))
        await asyncio.sleep(0.5)
        assert frontend.view.fleet.model_ready("tiny")
        other.withdraw(f"{MODELS}{second.name}")
        await asyncio.sleep(0.5)
        assert not frontend.view.fleet.model_ready("tiny")


async def test_while_discovery_is_away_the_last_view_is_served_and_its_age_told() -> None:
    """Never an empty list; after a moment it is called stale."""
    store = Memory()
    async with seen(store, fleet_stale_after=3.0) as frontend, worker(store, instance(1)):
        store.fail()
        await asyncio.sleep(2)
        frontend.refresh()
        assert frontend.bodies.health_now.stage is Stage.READY
        await asyncio.sleep(3)
        frontend.refresh()
        told = frontend.health()
        assert (told["status"], told["stage"]) == ("healthy", "stale")
        assert 4 <= told["stale_seconds"] <= 5
        assert len(told["instances"]) == 1
        store.restore()
        await asyncio.sleep(6)
        frontend.refresh()
        told = frontend.health()
        assert (told["stage"], len(told["instances"])) == ("ready", 1)


async def test_by_policy_a_stale_frontend_is_not_ready() -> None:
    """For whoever would rather have no view than an old one."""
    store = Memory()
    async with seen(store, fleet_stale_policy="notready") as frontend, worker(store, instance(1)):
        store.fail()
        await asyncio.sleep(5)
        frontend.refresh()
        answer = frontend.bodies.health(instances=True)
        assert answer.status == 503
        assert frontend.health()["stage"] == "stale"


async def test_before_discovery_was_reached_it_is_starting() -> None:
    """Not ready, and no empty list that a reader could take for the fleet."""
    store = Memory()
    store.fail()
    async with seen(store) as frontend:
        await asyncio.sleep(1)
        frontend.refresh()
        assert frontend.bodies.health(instances=True).status == 503
        assert frontend.health() == {
            "status": "not_ready",
            "stage": "starting",
            "message": "discovery was not reached yet",
        }


async def test_what_a_frontend_requires_it_names_while_it_is_missing() -> None:
    """Ready for nothing is not ready, for whoever says so."""
    store = Memory()
    async with seen(store, frontend_requires=("*", "tiny")) as frontend:
        await asyncio.sleep(0.5)
        frontend.refresh()
        told = frontend.health()
        assert (told["status"], told["missing"]) == ("not_ready", ["*", "tiny"])
        assert told["endpoints"] == []
        async with worker(store, instance(1, model="tiny", worker_type="aggregated")):
            assert frontend.health()["status"] == "healthy"


async def test_a_large_listing_lets_others_have_their_turn() -> None:
    """While 5,000 instances are taken in, others run; ready comes when all are there."""
    store = Memory()
    async with worker(store, *map(instance, range(5000))), seen(store) as frontend:
        sizes = set()
        for _ in range(1000):
            sizes.add(len(frontend.view.listing))
            if frontend.view.knowledge.complete:
                break
            await asyncio.sleep(0)
        assert len(frontend.view.listing) == 5000
        assert len(sizes) >= 10


async def test_what_changes_while_a_large_listing_is_taken_in_comes_after_it() -> None:
    """In the order in which it was told, so that the last word stands."""
    store = Memory()
    async with worker(store, *map(instance, range(2000))) as other, seen(store) as frontend:
        for _ in range(1000):
            if frontend.view._backlog:
                break
            await asyncio.sleep(0)
        announce(other, instance(1999, NOTREADY, reason="stalled"))
        other.withdraw(key_of(instance(1998)))
        await asyncio.sleep(1)
        assert list(frontend.view.amiss) == [instance(1999).name]
        assert len(frontend.view.listing) == 1999


async def test_all_answers_are_of_the_same_moment() -> None:
    """Who sees an instance listed and then asks for its model is told of that instance too."""
    store = Memory()
    async with seen(store) as frontend:
        await asyncio.sleep(0.5)
        frontend.view._told.clear()  # what changes is taken in below, when the test says so
        async with worker(store, instance(1, model="tiny")):
            assert len(frontend.view.listing) == 1
            assert (frontend.health()["endpoints"], frontend.health()["instances"]) == ([], [])
            assert frontend.bodies.model_ready("tiny") is None
            frontend.refresh()
            assert frontend.health()["endpoints"] == ["dyn://demo.backend.generate"]
            assert len(frontend.health()["instances"]) == 1
            ready = frontend.bodies.model_ready("tiny")
            assert ready is not None
            assert ready.status == 200
