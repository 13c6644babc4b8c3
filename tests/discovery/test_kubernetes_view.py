"""What objects of Kubernetes mean for entries, without a cluster."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serinus.discovery.kubernetes_view import (
    LARGEST,
    Ages,
    Pods,
    View,
    entry_metadata,
    entry_name,
    renewal,
    selector,
    session_body,
)
from serinus.errors import DiscoveryError

KEY = "v1/instances/demo/backend/generate/1f"
PREFIX = "v1/instances/"


class Cluster:
    """Objects as the API server shows them, and a view of them."""

    def __init__(self, *, pod: str = "") -> None:
        self.ages, self.pods = Ages(), Pods()
        self.view = View(PREFIX, self.ages, self.pods, pod=pod)
        self._version = 0

    def entry(self, key: str, value: bytes, *, session: str = "s", **other: Any) -> dict[str, Any]:
        """Return an entry's object."""
        metadata = entry_metadata(key, value, session=session, owners=[]) | other
        notes = {k: v for k, v in metadata["annotations"].items() if v is not None}
        return self._stored({"metadata": metadata | {"annotations": notes}})

    def session(self, name: str = "s", *, lease: float = 3.0, pod: str = "") -> dict[str, Any]:
        """Return a session's object."""
        owners = [{"kind": "Pod", "name": pod, "uid": f"uid of {pod}"}] if pod else []
        return self._stored(
            session_body(name, holder="h", lease=lease, pod=pod, owners=list(owners))
        )

    def put(self, item: dict[str, Any], *, now: float = 0.0, deleted: bool = False) -> set[str]:
        """Have the view see an object."""
        return self.view.changed(item, deleted=deleted, now=now)

    def _stored(self, item: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        item["metadata"]["resourceVersion"] = str(self._version)
        return item


def pod(name: str, *, ready: bool | None = None, uid: str = "", **other: Any) -> dict[str, Any]:
    """Return a pod."""
    conditions = [] if ready is None else [{"type": "Ready", "status": str(ready)}]
    metadata = {"name": name, "uid": uid or f"uid of {name}", **other}
    return {"metadata": metadata, "status": {"phase": "Running", "conditions": conditions}}


def endpoints(name: str, **pods: bool | None) -> dict[str, Any]:
    """Return an EndpointSlice."""
    return {
        "metadata": {"name": name},
        "endpoints": [
            {"targetRef": {"kind": "Pod", "name": one}, "conditions": {"ready": ready}}
            for one, ready in pods.items()
        ],
    }


def test_an_entry_is_shown_while_its_session_is_there() -> None:
    """Whatever comes first, and until the session goes."""
    cluster = Cluster()
    assert cluster.put(cluster.entry(KEY, b"1")) == {KEY}
    assert cluster.view.value(KEY) is None
    session = cluster.session()
    assert cluster.put(session) == {KEY}
    assert cluster.view.value(KEY) == b"1"
    assert cluster.put(session, deleted=True) == {KEY}
    assert cluster.view.value(KEY) is None


def test_an_entry_of_another_prefix_matters_to_nobody() -> None:
    """Nor one that is not there any more."""
    cluster = Cluster()
    assert cluster.put(cluster.entry("v1/mdc/a/b/c/1", b"1")) == set()
    assert cluster.put(cluster.entry(KEY, b"1"), deleted=True) == set()
    assert cluster.view.keys() == set()


def test_an_entry_that_was_taken_over_stays_when_its_first_session_goes() -> None:
    """It belongs to who wrote it last."""
    cluster = Cluster()
    for name in ("first", "second"):
        cluster.put(cluster.session(name))
        cluster.put(cluster.entry(KEY, name.encode(), session=name))
    assert cluster.view.lost("first") == set()
    assert cluster.view.value(KEY) == b"second"
    assert cluster.view.lost("second") == {KEY}


def test_a_session_is_due_a_lease_after_it_was_last_seen_to_change() -> None:
    """By the reader's clock; the same object seen again is no renewal, in a listing neither."""
    cluster = Cluster()
    session = cluster.session(lease=3.0)
    cluster.put(session, now=10.0)
    cluster.put(session, now=12.0)
    assert cluster.view.due(now=12.9) == ([], 13.0)
    assert cluster.view.due(now=13.0) == (["s"], None)
    again = View(PREFIX, cluster.ages, cluster.pods)
    entry = cluster.entry(KEY, b"1")
    again.listed([session, entry], now=12.5)
    assert again.entries(now=12.9) == {KEY: b"1"}
    assert again.entries(now=13.0) == {}
    cluster.put(cluster.session(lease=3.0), now=13.0)
    assert cluster.view.due(now=14.0) == ([], 16.0)


def test_a_session_that_was_only_listed_has_the_time_to_connect_again() -> None:
    """What kept the reader from seeing it may have kept it from renewing; once, not each time."""
    cluster = Cluster()
    session = cluster.session(lease=3.0)
    cluster.view.listed([session], now=10.0)
    assert cluster.view.due(now=18.9) == ([], 19.0)
    cluster.put(cluster.session(lease=3.0), now=18.9)
    assert cluster.view.due(now=21.8) == ([], 21.9)
    again = View(PREFIX, cluster.ages, cluster.pods)
    again.listed([cluster.session(lease=3.0)], now=21.8)
    assert again.due(now=21.8) == ([], 24.8)


def test_a_renewal_changes_the_object_whatever_the_clock_says() -> None:
    """A clock that stands still must not make a worker look dead."""
    moment = "2026-01-01T00:00:00.000000Z"
    assert renewal(number=1, moment=moment) != renewal(number=2, moment=moment)


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        (pod("w"), True),
        (pod("w", ready=True), True),
        (pod("w", ready=False), False),
        (pod("w", ready=True, deletionTimestamp="2026-01-01T00:00:00Z"), False),
        (pod("w") | {"status": {"phase": "Failed"}}, False),
        (pod("w") | {"status": {"phase": "Succeeded"}}, False),
        (pod("other", ready=False), True),
    ],
    ids=["no word", "ready", "not ready", "terminating", "failed", "done", "another"],
)
def test_an_entry_is_shown_while_its_pod_is_there_and_ready(
    seen: dict[str, Any], *, shown: bool
) -> None:
    """The kubelet's word takes it out; where there is none, it stays."""
    cluster = Cluster()
    cluster.put(cluster.session(pod="w"))
    cluster.put(cluster.entry(KEY, b"1"))
    assert "w" in cluster.pods.pod_changed(seen, deleted=False) or seen["metadata"]["name"] != "w"
    assert (cluster.view.value(KEY) == b"1") is shown
    assert cluster.view.in_pods({"w"}) == {KEY}


def test_a_reader_in_the_same_pod_is_not_told_otherwise_by_the_kubelet() -> None:
    """It sees for itself; but a pod that is deleted is gone."""
    cluster = Cluster(pod="w")
    cluster.put(cluster.session(pod="w"))
    cluster.put(cluster.entry(KEY, b"1"))
    cluster.pods.pod_changed(pod("w", ready=False), deleted=False)
    assert cluster.view.value(KEY) == b"1"
    cluster.pods.pod_changed(pod("w"), deleted=True)
    assert cluster.view.value(KEY) is None


def test_where_endpointslices_have_the_pod_they_decide() -> None:
    """One that says ready is enough: readiness gates, and Services that publish all."""
    cluster = Cluster()
    cluster.put(cluster.session(pod="w"))
    cluster.put(cluster.entry(KEY, b"1"))
    pods = cluster.pods
    pods.pods_listed([pod("w", ready=True)])
    assert pods.slices_listed([endpoints("a", w=False), endpoints("c", x=True)]) == {"w", "x"}
    assert cluster.view.value(KEY) is None
    assert pods.slice_changed(endpoints("b", w=True), deleted=False) == {"w"}
    assert cluster.view.value(KEY) == b"1"
    assert pods.slice_changed(endpoints("b", w=True), deleted=False) == set()
    pods.pods_listed([pod("w", ready=False)])
    assert cluster.view.value(KEY) == b"1"
    pods.slice_changed(endpoints("b", w=None), deleted=False)
    assert cluster.view.value(KEY) == b"1"
    pods.slice_changed(endpoints("b"), deleted=True)
    assert cluster.view.value(KEY) is None


def test_a_pod_of_the_same_name_is_another_pod() -> None:
    """A StatefulSet's next pod does not bring the last one's entries back."""
    cluster = Cluster()
    cluster.pods.pods_listed([pod("w")])
    cluster.put(cluster.session(pod="w"))
    cluster.put(cluster.entry(KEY, b"1"))
    cluster.pods.pod_changed(pod("w", uid="next"), deleted=False)
    assert cluster.view.value(KEY) is None
    cluster.pods.pod_changed(pod("w"), deleted=True)  # heard late
    assert cluster.pods.pod_changed(pod("w", uid="next"), deleted=False) == set()


def test_a_session_may_be_heard_of_before_its_pod() -> None:
    """The watches are strangers to each other; only a pod that was seen to go is gone."""
    cluster = Cluster()
    cluster.pods.pods_listed([])
    cluster.put(cluster.session(pod="w"))
    cluster.put(cluster.entry(KEY, b"1"))
    assert cluster.view.value(KEY) == b"1"
    cluster.pods.pods_listed([pod("w")])
    cluster.pods.pods_listed([])
    assert cluster.view.value(KEY) is None


def _without(annotation: str) -> dict[str, Any]:
    cluster = Cluster()
    item = cluster.entry(KEY, b"1")
    del item["metadata"]["annotations"][annotation]
    return item


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (_without("serinus/key"), "no annotation serinus/key"),
        (_without("serinus/value"), "no annotation serinus/value"),
        (_without("serinus/session"), "no annotation serinus/session"),
        (Cluster().entry(KEY, b"1", name="renamed"), f"its name is not that of the key {KEY}"),
        (Cluster().entry(KEY, b"1", session="../x"), "serinus/session: ../x is no object's name"),
        (Cluster().session(lease=0.0), "0.0 is not within 0 and 86400"),
        (Cluster().session(lease=86401.0), "86401.0 is not within 0 and 86400"),
        (
            {
                "metadata": {
                    "name": "x",
                    "labels": {"serinus/bucket": "sessions"},
                    "resourceVersion": "1",
                }
            },
            "annotation serinus/lease-seconds",
        ),
    ],
)
def test_a_foreign_object_is_skipped_and_named(item: dict[str, Any], why: str) -> None:
    """What others wrote under our label does no harm, and is told of until it is mended."""
    cluster = Cluster()
    cluster.put(cluster.session("other"))
    cluster.put(item)
    assert why in cluster.view.wrong[item["metadata"]["name"]]
    assert cluster.view.entries(now=0.0) == {}
    assert cluster.view.holders.keys() == {"other"}
    cluster.view.changed(item, deleted=True, now=0.0)
    assert not cluster.view.wrong


def test_an_entry_that_turns_corrupt_goes_and_comes_back_when_it_is_mended() -> None:
    """The last word counts."""
    cluster = Cluster()
    cluster.put(cluster.session())
    cluster.put(cluster.entry(KEY, b"1"))
    assert cluster.put(_without("serinus/value")) == {KEY}
    assert cluster.view.value(KEY) is None
    cluster.put(cluster.entry(KEY, b"2"))
    assert cluster.view.value(KEY) == b"2"
    assert not cluster.view.wrong


@given(key=st.text(min_size=1, max_size=60), value=st.binary(max_size=100))
def test_any_key_and_any_bytes_come_back(key: str, value: bytes) -> None:
    """Text is kept as text, for who looks with kubectl; the rest in base64."""
    cluster = Cluster()
    cluster.view.prefix = ""
    try:
        item = cluster.entry(key, value)
    except UnicodeEncodeError:
        return  # half a surrogate pair is no key
    cluster.put(cluster.session())
    cluster.put(item)
    assert cluster.view.entries(now=0.0) == {key: value}
    assert len(entry_name(key)) < 63


@pytest.mark.parametrize("size", [LARGEST, 3 * LARGEST // 4 + 1], ids=["text", "binary"])
def test_an_entry_that_is_too_large_is_refused_with_the_limit(size: int) -> None:
    """Before it is sent, and in words that name it."""
    value = b"a" * size if size == LARGEST else b"\xff" * size
    with pytest.raises(DiscoveryError, match=rf"{KEY}: .* {size} bytes.* takes {LARGEST} in all"):
        entry_metadata(KEY, value, session="s", owners=[])


@pytest.mark.parametrize(
    ("prefix", "labels"),
    [
        ("v1/instances/", "serinus/bucket in (sessions,v1.instances)"),
        (KEY, "serinus/bucket in (sessions,v1.instances)"),
        ("v1/inst", "serinus/bucket"),
        ("", "serinus/bucket"),
        ("v1/é/a", "serinus/bucket in (sessions,other)"),
    ],
)
def test_only_what_is_needed_is_watched(prefix: str, labels: str) -> None:
    """A mirror of instances has no traffic of models."""
    assert selector(prefix) == labels
