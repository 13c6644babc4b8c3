"""The bodies that are served, rendered when something changes and not when somebody asks.

A change marks what it touches. What is asked for next is rendered from the parts that were marked,
once for all who ask: a request costs the same in a fleet of any size, but for the bytes it sends.
All of them are of the same moment, that of the last refresh: who sees an instance listed and then
asks for its model is told of that instance too.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple

from serinus.core.address import EndpointAddress
from serinus.core.fleet import Pool, PoolState
from serinus.core.stage import FrontendHealth, Stage
from serinus.core.topology import Topology
from serinus.frontend.answer import Answer, answer_json, dumps, of_chunks
from serinus.frontend.view import View

__all__ = ["Bodies", "model_json", "pool_json"]

_UNREADY = 200
"""Instances that are not ready which details name; more are counted."""


class _Head(NamedTuple):
    text: bytes
    whole: bool
    """Whether nothing follows."""


class Bodies:
    """Prepared answers of one view. `version` grows with every change."""

    def __init__(self, view: View, *, wall: Callable[[], float] = time.time) -> None:
        self.version = 1
        self.renderings = 0
        self._view = view
        self._born = int(wall())
        self._health: FrontendHealth | None = None
        self._kept: dict[str, tuple[object, Answer]] = {}
        """Answers by what they are, each with what it was rendered from."""
        self._last_head: tuple[object, _Head] | None = None
        self._instances: tuple[_Head, tuple[bytes, ...], Answer] | None = None
        self._seal = secrets.token_hex(4).encode()
        self._listed: tuple[bytes, ...] = ()
        self._endpoints: tuple[str, ...] = ()
        self._endpoints_version = -1
        self._pools: dict[EndpointAddress, dict[str, Any]] = {}
        self._panic: set[str] = set()
        self._models: dict[str, dict[str, Any]] = {}
        self._model_answers: dict[str, Answer] = {}
        self.pools_version = 1
        self.models_version = 1

    def refresh(self) -> tuple[set[EndpointAddress], set[str]]:
        """Take in what changed; return the pools and the models among it."""
        fleet = self._view.fleet
        pools, models = set(fleet.touched), set(fleet.touched_models)
        fleet.touched.clear()
        fleet.touched_models.clear()
        for address in pools:
            self._take_pool(address)
        for model in models:
            self._take_model(model)
        self.pools_version += bool(pools)
        self.models_version += bool(models)
        self._listed = self._view.listing.chunks()
        if self._endpoints_version != self._view.endpoints_changed:
            self._endpoints_version = self._view.endpoints_changed
            self._endpoints = tuple(self._view.endpoints)
        self.version += 1
        self._health = self._view.health
        return pools, models

    def _take_pool(self, address: EndpointAddress) -> None:
        pool = self._view.fleet.pool(address)
        self._panic.discard(address.url)
        if pool is None:
            self._pools.pop(address, None)
            return
        self._pools[address] = pool_json(pool)
        if pool.state is PoolState.PANIC:
            self._panic.add(address.url)

    def _take_model(self, model: str) -> None:
        found = self._view.fleet.model(model)
        if not found:
            self._models.pop(model, None)
            self._model_answers.pop(model, None)
            return
        told = self._models[model] = model_json(model, found)
        self._model_answers[model] = answer_json(200 if told["ready"] else 503, told)

    # --- what is so --------------------------------------------------------------------------

    @property
    def health_now(self) -> FrontendHealth:
        """Whether the frontend is ready, as of the last refresh."""
        if self._health is None:
            self._health = self._view.health
        return self._health

    @property
    def pools(self) -> dict[EndpointAddress, dict[str, Any]]:
        """All pools, as they are shown."""
        return self._pools

    @property
    def models(self) -> dict[str, dict[str, Any]]:
        """All models, as they are shown."""
        return self._models

    @property
    def listed(self) -> tuple[bytes, ...]:
        """All instances that are listed, as they are shown, in pieces."""
        return self._listed

    @property
    def panic(self) -> list[str]:
        """The endpoints in panic."""
        return sorted(self._panic)

    # --- answers -----------------------------------------------------------------------------

    def health(self, *, instances: bool) -> Answer:
        """The fleet's health, with all instances or without."""
        head = self._head()
        if head.whole:
            return self._keep("health", head, lambda: of_chunks(503, (head.text,)))
        if not instances:
            whole = head.text + b"}"
            return self._keep("endpoints", head, lambda: of_chunks(self._code(), (whole,)))
        chunks = self._listed
        kept = self._instances
        if kept is None or kept[0] is not head or kept[1] is not chunks:
            self.renderings += 1
            tag = (b"etag", b'"%s-%d"' % (self._seal, self.renderings))
            body = (head.text + b',"instances":[', *chunks, b"]}")
            kept = (head, chunks, of_chunks(self._code(), body, more=(tag,)))
            self._instances = kept
        return kept[2]

    def _code(self) -> int:
        return 200 if self.health_now.ready else 503

    def _head(self) -> _Head:
        """The body up to the instances; whole if there are none to show."""
        health, view = self.health_now, self._view
        age = view.knowledge.age if health.stage is Stage.STALE else None
        seconds = None if age is None else int(age)
        made_of = (health, seconds, self._endpoints_version, self.pools_version)
        if self._last_head is None or self._last_head[0] != made_of:
            self._last_head = (made_of, self._render_head(health, seconds))
        return self._last_head[1]

    def _render_head(self, health: FrontendHealth, stale_seconds: int | None) -> _Head:
        told: dict[str, Any] = {"status": "healthy" if health.ready else "not_ready"}
        told["stage"] = str(health.stage)
        if health.why:
            told["message"] = health.why
        if health.missing:
            told["missing"] = list(health.missing)
        if stale_seconds is not None:
            told["stale_seconds"] = stale_seconds
        if self._panic:
            told["panic"] = self.panic
        if health.stage not in (Stage.READY, Stage.STALE):
            return _Head(dumps(told), whole=True)
        told["endpoints"] = sorted(self._endpoints)
        return _Head(dumps(told)[:-1], whole=False)

    def model_list(self) -> Answer:
        """The models that can be served, as OpenAI's API lists them."""
        return self._keep("models", self.models_version, self._list_models)

    def _list_models(self) -> Answer:
        data = [
            {"id": name, "object": "model", "created": self._born, "owned_by": "serinus"}
            for name in sorted(self._models)
            if self._models[name]["ready"]
        ]
        return answer_json(200, {"object": "list", "data": data})

    def model_ready(self, model: str) -> Answer | None:
        """Whether a model can be served, and what is missing; None if it is unknown."""
        return self._model_answers.get(model)

    def capacity(self) -> Answer:
        """What may serve, for autoscalers."""
        stale = self.health_now.stage is not Stage.READY
        made_of = (self.pools_version, self.models_version, stale)
        return self._keep("capacity", made_of, lambda: answer_json(200, self._capacity(stale)))

    def _capacity(self, stale: bool) -> dict[str, Any]:  # noqa: FBT001 - its one claim
        totals = self._view.fleet.totals
        return {
            "hold_scale_down": stale or bool(self._panic),
            "stage": str(self.health_now.stage),
            "instances": totals.instances,
            "ready": totals.ready,
            "endpoints": {
                str(address): {name: pool[name] for name in ("total", "ready", "usable")}
                for address, pool in sorted(self._pools.items())
            },
            "models": {
                name: {
                    "ready": told["ready"],
                    "workers": {
                        namespace: {
                            kind: one["workers"] for kind, one in its["worker_types"].items()
                        }
                        for namespace, its in told["namespaces"].items()
                    },
                }
                for name, told in sorted(self._models.items())
            },
        }

    def details(self) -> dict[str, Any]:
        """Everything for who may see it; the instances that are well are not among it."""
        view, knowledge = self._view, self._view.knowledge
        outside = view.unreachable(_UNREADY)
        return {
            "version": self.version,
            "totals": view.fleet.totals._asdict(),
            "listed": len(view.listing),
            "discovery": {
                "backend": view.discovery.backend.place,
                "connected": view.discovery.connected,
                "trouble": view.discovery.trouble,
                "stale_seconds": knowledge.age,
                "changes": view.changes,
            },
            "endpoints": [pool for _, pool in sorted(self._pools.items())],
            "models": [told for _, told in sorted(self._models.items())],
            "not_ready": [
                {
                    "instance": name,
                    "reason": amiss.reason,
                    "since": amiss.since,
                }
                for name, amiss in islice(view.amiss.items(), _UNREADY)
            ],
            "unreachable": [
                {"instance": name, "reason": one.reason, "since": one.since, "by": one.by}
                for name, one in outside.items()
            ],
            "left_out": max(len(view.amiss) - _UNREADY, 0)
            + max(view.fleet.totals.unreachable - len(outside), 0),
            "outside": view.prober(),
            "foreign": {"now": view.foreign_now, "since_start": view.foreign_total}
            | {"named": view.foreign},
        }

    def _keep(self, name: str, made_of: object, render: Callable[[], Answer]) -> Answer:
        kept = self._kept.get(name)
        if kept is not None and kept[0] == made_of:
            return kept[1]
        return self._put(name, made_of, render())

    def _put(self, name: str, made_of: object, answer: Answer) -> Answer:
        self.renderings += 1
        self._kept[name] = (made_of, answer)
        return answer


def pool_json(pool: Pool) -> dict[str, Any]:
    """Write a pool."""
    told: dict[str, Any] = {
        "endpoint": pool.address.url,
        "state": str(pool.state),
        "total": pool.total,
        "ready": pool.ready,
        "unreachable": pool.unreachable,
        "usable": pool.usable,
    }
    if pool.reasons:
        told["reasons"] = dict(pool.reasons)
    if pool.shared_cause:
        told["shared_cause"] = pool.shared_cause
    return told


def model_json(model: str, found: dict[str, Topology]) -> dict[str, Any]:
    """Write a model's readiness, as the reference does."""
    ready = any(one.ready for one in found.values())
    told: dict[str, Any] = {"model": model, "ready": ready}
    if not ready:
        told["reason"] = "in no namespace are all worker types there that it needs"
    told["namespaces"] = {namespace: _namespace_json(one) for namespace, one in found.items()}
    return told


def _namespace_json(found: Topology) -> dict[str, Any]:
    told: dict[str, Any] = {"ready": found.ready}
    if found.reason:
        told["reason"] = found.reason
    told["worker_types"] = {
        kind: {"workers": serving, "registered": registered, "needs": [list(n) for n in needs]}
        for kind, (serving, registered, needs) in found.counts.items()
    }
    told["present"] = list(found.present)
    told["missing_worker_types"] = list(found.missing)
    return told
