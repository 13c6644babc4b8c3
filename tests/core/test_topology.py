"""Which worker types a model needs."""

from __future__ import annotations

import pytest

from serinus.core.topology import Needs, Role, RoleCount, needs_of, topology


def typed(worker_type: str, serving: int, *, needs: Needs | None = None) -> RoleCount:
    """So many workers of a type that may serve, of two."""
    return RoleCount(
        Role("m", worker_type, needs_of(worker_type) if needs is None else needs), 2, serving
    )


@pytest.mark.parametrize(
    ("counts", "missing"),
    [
        ([typed("aggregated", 1)], ()),
        ([typed("prefill", 1), typed("decode", 2)], ()),
        ([typed("prefill", 1)], ("decode",)),
        ([typed("decode", 1)], ("prefill",)),
        ([typed("decode", 1), typed("prefill", 0)], ("prefill",)),
        ([typed("decode", 0), typed("prefill", 0)], ("decode", "prefill")),
        ([typed("encode", 1), typed("aggregated", 1)], ()),
        ([typed("encode", 1), typed("decode", 1)], ("aggregated", "prefill")),
        ([typed("decode", 1, needs=())], ()),
    ],
)
def test_what_is_missing_is_named(counts: list[RoleCount], missing: tuple[str, ...]) -> None:
    """The table of types that are there, and of what is not."""
    found = topology(counts)
    assert found.missing == missing
    assert found.ready is not bool(missing)


def test_without_a_worker_that_serves_nothing_is_ready() -> None:
    """Even where no type is missing by name."""
    found = topology([RoleCount(Role("m"), 2, 0)])
    assert (found.ready, found.reason) == (False, "no worker may serve")


def test_beside_a_worker_that_names_no_type_one_that_serves_is_enough() -> None:
    """It may be the type that seems to be missing."""
    assert topology([RoleCount(Role("m"), 1, 1), typed("decode", 1)]).ready


def test_counts_are_by_type() -> None:
    """For people: how many may serve of how many, and what they need."""
    found = topology([typed("decode", 1), typed("decode", 2), typed("prefill", 1)])
    assert found.counts["decode"] == (3, 4, (("prefill",),))
    assert found.present == ("decode", "prefill")
