"""What engines say of their sleep, as it was recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from serinus.engines import ENGINES, engine_named
from serinus.engines.capabilities import TellsSleep
from serinus.engines.exposition import read_page
from tests.engines.answers import recorded

FOLDER = Path(__file__).parent.parent / "sim" / "fixtures" / "vllm-0.32-sleep"


def vllm() -> TellsSleep:
    """The one engine that says so."""
    engine = engine_named("vllm")
    assert isinstance(engine, TellsSleep)
    return engine


def test_vllm_alone_tells() -> None:
    """SGLang keeps its pause to itself and to gRPC: a lease has to say it."""
    assert [one.name for one in ENGINES if isinstance(one, TellsSleep)] == ["vllm"]


@pytest.mark.parametrize(
    ("page", "asleep"),
    [
        ("awake", False),
        ("asleep-0", True),
        ("asleep-1", True),
        ("asleep-2", True),
        ("paused", False),  # which `/is_sleeping` alone tells
    ],
)
def test_its_page_says_whether_it_is_awake(page: str, asleep: bool) -> None:
    """At whatever level it sleeps."""
    names = engine_named("vllm").metric_names
    samples = read_page((FOLDER / f"metrics-{page}.txt").read_bytes(), names=names)
    assert vllm().asleep(samples) is asleep


def test_a_page_without_the_sample_says_nothing() -> None:
    """Older releases lack it; of several cores one that sleeps is enough."""
    state = {"sleep_state": "awake"}
    name = "vllm:engine_sleep_state"
    assert vllm().asleep({}) is None
    assert vllm().asleep({name: [({"sleep_state": "discard_all"}, 0.0)]}) is None
    both = [({**state, "engine": "0"}, 1.0), ({**state, "engine": "1"}, 0.0)]
    assert vllm().asleep({name: both}) is True


@pytest.mark.parametrize(("name", "asleep"), [("awake", False), ("asleep", True)])
def test_its_own_route_says_it(name: str, asleep: bool) -> None:
    """`/is_sleeping`, as recorded."""
    exchange = recorded(f"is-sleeping-{name}", FOLDER)
    assert exchange.path == vllm().sleep_path
    assert vllm().read_sleep(exchange.status, exchange.body) is asleep


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b'{"detail":"Not Found"}'),
        (500, b'{"is_sleeping":true}'),
        (200, b"nonsense"),
        (200, b"[]"),
        (200, b'{"is_sleeping":"yes"}'),
        (200, b"{}"),
    ],
)
def test_anything_else_says_nothing(status: int, body: bytes) -> None:
    """Without the developers' mode there is no such page."""
    assert vllm().read_sleep(status, body) is None
