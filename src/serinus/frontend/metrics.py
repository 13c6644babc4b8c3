"""The metrics of the fleet as Prometheus text. Their number grows with endpoints, not instances."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from serinus.core.fleet import PoolState
from serinus.core.stage import Stage
from serinus.frontend.answer import TEXT, Answer, of_chunks
from serinus.status.exposition import Exposition, labels

if TYPE_CHECKING:
    from serinus.frontend.app import App
    from serinus.frontend.bodies import Bodies
    from serinus.frontend.events import Events
    from serinus.frontend.prober import Prober
    from serinus.frontend.view import View

__all__ = ["Metrics"]

_PACE = 0.25
"""Seconds for which one rendering is served."""


class Metrics:
    """Renders the metrics, at most a few times a second however many ask."""

    def __init__(
        self,
        view: View,
        bodies: Bodies,
        events: Events,
        prober: Prober,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.app: App | None = None
        self._view = view
        self._bodies = bodies
        self._events = events
        self._prober = prober
        self._clock = clock
        self._last: tuple[float, Answer] | None = None

    def __call__(self) -> Answer:
        """Return the metrics."""
        now = self._clock()
        if self._last is None or now - self._last[0] >= _PACE:
            page = Exposition()
            self._of_pools(page)
            self._of_models(page)
            self._of_view(page)
            self._of_prober(page)
            self._of_requests(page)
            self._last = (now, of_chunks(200, (page.render(),), kind=TEXT))
        return self._last[1]

    def _of_pools(self, page: Exposition) -> None:
        pools: list[tuple[dict[str, str], str, dict[str, Any]]] = []
        for address, pool in sorted(self._bodies.pools.items()):
            named = address._asdict()
            pools.append((named, labels(named), pool))
        for name, field, meaning in (
            ("instances", "total", "Instances that are announced."),
            ("ready_instances", "ready", "Instances that are ready and not unreachable."),
            ("usable_instances", "usable", "Instances that requests may be sent to."),
            (
                "unreachable_instances",
                "unreachable",
                "Instances that are ready in their own eyes and unreachable for others.",
            ),
        ):
            page.gauge(f"serinus_fleet_{name}", meaning, ((at, p[field]) for _, at, p in pools))
        page.gauge(
            "serinus_fleet_unready_instances",
            "Instances that are not ready, by reason.",
            (
                (labels({**named, "reason": reason}), count)
                for named, _, pool in pools
                for reason, count in pool.get("reasons", {}).items()
            ),
        )
        page.gauge(
            "serinus_fleet_panic",
            "Whether so few instances are ready that none is left out for what others see.",
            ((at, float(p["state"] == PoolState.PANIC)) for _, at, p in pools),
        )
        page.gauge(
            "serinus_fleet_short",
            "Whether fewer instances are ready than the minimum share.",
            ((at, float(p["state"] != PoolState.HEALTHY)) for _, at, p in pools),
        )
        page.gauge(
            "serinus_fleet_shared_cause",
            "1 while all instances of an endpoint fail for one reason.",
            (
                (labels({**named, "reason": pool["shared_cause"]}), 1.0)
                for named, _, pool in pools
                if "shared_cause" in pool
            ),
        )

    def _of_models(self, page: Exposition) -> None:
        models = sorted(self._bodies.models.items())
        ready = [(labels({"model": name}), float(told["ready"])) for name, told in models]
        page.gauge("serinus_fleet_model_ready", "Whether a model can be served.", ready)
        page.gauge(
            "dynamo_frontend_model_ready", "The same by the name that the reference has.", ready
        )
        page.gauge(
            "serinus_fleet_model_workers",
            "Workers that may serve a model, by namespace and type.",
            (
                (labels({"model": name, "namespace": where, "worker_type": kind}), one["workers"])
                for name, told in models
                for where, its in told["namespaces"].items()
                for kind, one in its["worker_types"].items()
            ),
        )

    def _of_view(self, page: Exposition) -> None:
        view, health = self._view, self._bodies.health_now
        page.gauge(
            "serinus_frontend_ready", "Whether the frontend is.", [("", float(health.ready))]
        )
        page.gauge(
            "serinus_frontend_stage",
            "1 for the stage that the frontend is in.",
            ((labels({"stage": str(one)}), float(one is health.stage)) for one in Stage),
        )
        page.gauge(
            "serinus_fleet_view_stale_seconds",
            "For how long the view may have been behind; 0 while it follows.",
            [("", view.knowledge.age or 0.0)],
        )
        page.counter(
            "serinus_fleet_changes_total",
            "Records that came, changed or went.",
            [("", view.changes)],
        )
        page.gauge(
            "serinus_fleet_foreign_records",
            "Records that cannot be read, and are skipped.",
            [("", view.foreign_now)],
        )
        page.counter(
            "serinus_fleet_foreign_records_total",
            "How often a record could not be read.",
            [("", view.foreign_total)],
        )

    def _of_prober(self, page: Exposition) -> None:
        prober = self._prober
        page.gauge(
            "serinus_prober_leader",
            "Whether this frontend is the one that probes from outside.",
            [("", float(prober.in_office))],
        )
        page.counter(
            "serinus_prober_probes_total",
            "Probes from outside that this frontend sent, by outcome.",
            ((labels({"outcome": name}), n) for name, n in sorted(prober.outcomes.items())),
        )

    def _of_requests(self, page: Exposition) -> None:
        if self.app is not None:
            page.counter(
                "serinus_frontend_requests_total",
                "Requests, by path and status code.",
                (
                    (labels({"path": path, "code": str(code)}), n)
                    for (path, code), n in sorted(self.app.requests.items())
                ),
            )
        page.gauge(
            "serinus_frontend_event_readers",
            "Readers of the stream of changes.",
            [("", len(self._events.readers))],
        )
        page.counter(
            "serinus_frontend_renderings_total",
            "How often a body was rendered.",
            [("", self._bodies.renderings)],
        )
