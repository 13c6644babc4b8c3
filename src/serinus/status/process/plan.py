"""What is to be done about a request: its route, and all that its answer depends on."""

from __future__ import annotations

from serinus.status.process.wire import Request

HEALTH = 0
LIVE = 1
METRICS = 2
MISSING = 3
WRONG_METHOD = 4
DASHBOARD = 5

READING = frozenset((b"GET", b"HEAD"))


class Plan:
    """A request settled. Plans with one `key` get the same answer in the same turn."""

    __slots__ = (
        "bearer",
        "forwarded",
        "has_body",
        "head",
        "key",
        "label",
        "persist",
        "route",
        "verbose",
    )

    def __init__(self, request: Request, route: int, label: str, key: int) -> None:
        self.route = route
        self.label = label
        self.key = key
        self.head = request.method == b"HEAD"
        self.persist = request.persist
        self.has_body = request.has_body
        self.verbose = route in (HEALTH, LIVE) and request.verbose
        self.bearer = request.bearer
        self.forwarded = request.forwarded

    @property
    def repeatable(self) -> bool:
        """Whether the same bytes may be answered alike within a turn, without a look at them.

        Not what depends on who asks (details) or must be made afresh (metrics).
        """
        return not (
            self.verbose or self.has_body or self.bearer is not None or self.route == METRICS
        )


class Routes:
    """Settles requests by their path and method."""

    def __init__(self, *, health: bytes, live: bytes, dashboard: bool = False) -> None:
        self._routes = {b"/dashboard": DASHBOARD} if dashboard else {}
        self._routes.update({health: HEALTH, live: LIVE, b"/metrics": METRICS})
        self._keys: dict[tuple[int, str, bool, int], int] = {}

    def settle(self, request: Request, *, other: str) -> Plan:
        """Make the plan for a request; `other` is the label of paths that are not served."""
        route = self._routes.get(request.path, MISSING)
        label = other if route == MISSING else request.path.decode("utf-8", "replace")
        if route != MISSING and request.method not in READING:
            route = WRONG_METHOD
        kind = (route, label, request.method == b"HEAD", request.persist)
        return Plan(request, route, label, self._keys.setdefault(kind, len(self._keys)))
