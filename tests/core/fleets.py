"""Instances, and facts of a fleet in any order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from hypothesis import strategies as st

from serinus.core.address import EndpointAddress
from serinus.core.fleet import Fleet
from serinus.core.instance import Instance
from serinus.core.status import HealthStatus
from serinus.core.topology import Role, needs_of

READY, NOTREADY = HealthStatus.READY, HealthStatus.NOTREADY
Fact: TypeAlias = tuple[str, Callable[[Fleet], None]]


def instance(
    number: int,
    status: HealthStatus | None = READY,
    *,
    at: str = "demo.backend.generate",
    reason: str = "",
    **facts: Any,
) -> Instance:
    """An instance of `at`."""
    place = {"http": f"http://10.0.0.{number}:8000"}
    return Instance(EndpointAddress.parse(at), number, place, status, reason=reason, facts=facts)


def put(fleet: Fleet, *instances: Instance) -> None:
    """Put instances under their own names."""
    for one in instances:
        fleet.put(one.name, one)


def _name(at: str, number: int) -> str:
    return f"{at.replace('.', '/')}/{number:x}"


@st.composite
def facts(draw: st.DrawFn) -> Callable[[Fleet], None]:
    """One fact about one of a few instances."""
    at = draw(st.sampled_from(["demo.backend.generate", "demo.prefill.generate", "b.c.d"]))
    number = draw(st.integers(1, 3))
    name = _name(at, number)
    kind = draw(st.sampled_from(["put", "put", "remove", "see", "card", "uncard"]))
    worker_type = draw(st.sampled_from(["", "prefill", "decode", "aggregated"]))
    model = draw(st.sampled_from(["a", "b"]))
    if kind == "put":
        status = draw(st.sampled_from([READY, NOTREADY, None]))
        reason = draw(st.sampled_from(["canary_timeout", "stalled", "first_token"]))
        told = draw(st.sampled_from([{}, {"model": model, "worker_type": worker_type}]))
        one = instance(number, status, at=at, reason=reason, **told)
        return lambda fleet: fleet.put(name, one)
    if kind == "remove":
        return lambda fleet: fleet.remove(name)
    if kind == "see":
        reachable = draw(st.booleans())
        return lambda fleet: fleet.see(name, reachable=reachable)
    card = draw(st.sampled_from(["card", "card/lora"]))
    if kind == "card":
        role = Role(model, worker_type, needs_of(worker_type))
        return lambda fleet: fleet.put_card(name, card, at.split(".")[0], role)
    return lambda fleet: fleet.remove_card(name, card)
