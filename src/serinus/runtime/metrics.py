"""The board in Prometheus text: our own metrics, and the reference's where they mean the same.

Rendered when someone scrapes, on the worker's loop. Canaries and users' requests are counted apart.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from serinus.core.address import EndpointAddress
from serinus.core.budget import stretched
from serinus.core.evidence import RequestFault
from serinus.core.system_health import EndpointHealth, Judged
from serinus.runtime.board import Board, Watched
from serinus.runtime.traffic import BUCKETS, Traffic
from serinus.status import Exposition, HistogramLabels, labels

if TYPE_CHECKING:
    from serinus.runtime.membership import Membership
    from serinus.traces.recorder import Recorder

__all__ = ["render"]

_REFERENCE_ERRORS = {
    RequestFault.CLIENT: "invalid_message",
    RequestFault.SERVER: "generate",
    RequestFault.TIMEOUT: "response_stream",
    RequestFault.TRANSPORT: "response_stream",
}
"""The reference counts errors by the place where they were met; these are the nearest places."""


def render(
    board: Board,
    served: Mapping[EndpointAddress, Any],
    recorder: Recorder | None = None,
    membership: Membership | None = None,
) -> bytes:
    """Render everything; `served` has the accounts (`.traffic`, `.labels`) of the endpoints."""
    text = Exposition()
    _process(text, board)
    if recorder is not None:
        _recording(text, recorder)
    if membership is not None:
        _fleet(text, membership)
    _endpoints(text, board)
    _groups(text, board)
    accounts = [(address, one.traffic, dict(one.labels)) for address, one in served.items()]
    if accounts:
        _traffic(text, accounts)
        _reference(text, accounts, board.clock() - board.started)
    return text.render()


def _process(text: Exposition, board: Board) -> None:
    endpoints = board.health()
    readiness = board.readiness(endpoints)
    liveness = board.liveness(endpoints, readiness)
    rule = labels({"rule": str(readiness.rule)})
    text.gauge("serinus_ready", "1 if traffic may come here.", [(rule, int(readiness.ready))])
    reason = labels({"reason": str(liveness.reason)})
    text.gauge("serinus_live", "0 if a restart would help.", [(reason, int(liveness.live))])
    text.gauge(
        "serinus_holds",
        "Holds by which the owner withholds readiness.",
        [("", len(board.system.holds))],
    )
    now = board.clock()
    leases = board.leases.report()
    left = max((lease.until - now for lease in leases), default=0.0)
    text.gauge("serinus_lease_seconds", "Seconds that a planned pause still lasts.", [("", left)])
    text.gauge("serinus_leases", "Planned pauses that run.", [("", len(leases))])
    text.counter(
        "serinus_leases_ran_out_total",
        "Planned pauses that nobody has renewed or released in time.",
        [("", board.leases.ran_out)],
    )
    text.counter(
        "serinus_transitions_total", "Changes of verdicts so far.", [("", board.history.seen)]
    )
    text.gauge("serinus_canaries_in_flight", "Canaries in flight.", [("", board.manager.in_flight)])
    text.counter(
        "serinus_loop_lost_seconds_total",
        "Seconds by which the worker's event loop came late.",
        [("", board.manager.watch.lost)],
    )
    _ourselves(text, board)


def _recording(text: Exposition, recorder: Recorder) -> None:
    text.gauge(
        "serinus_recording",
        "1 while evidence is recorded, 0 if the file can take no more.",
        [("", int(recorder.stopped is None))],
    )
    text.counter(
        "serinus_recorded_total", "Pieces of evidence in the trace.", [("", recorder.recorded)]
    )
    text.counter(
        "serinus_unrecorded_total",
        "Pieces of evidence that did not get into the trace.",
        [("", recorder.lost)],
    )


def _fleet(text: Exposition, membership: Membership) -> None:
    gate, discovery, restarts = membership.planes.gate, membership.discovery, membership.restarts
    text.gauge("serinus_rpc_in_flight", "Requests of the plane in flight.", [("", gate.inside)])
    text.gauge("serinus_rpc_waiting", "Requests that wait for room.", [("", gate.waiting)])
    text.counter("serinus_rpc_refused_total", "Requests that found no room.", [("", gate.refused)])
    if discovery is not None:
        text.gauge(
            "serinus_discovery_connected",
            "1 while the backend can be reached.",
            [("", int(discovery.connected))],
        )
        text.gauge(
            "serinus_discovery_conflicts",
            "Instances that are not announced, as another process has their id.",
            [("", len(discovery.conflicts()))],
        )
    if restarts is not None:
        text.gauge(
            "serinus_restart_waiting_seconds",
            "For how long a restart that would help has waited for its turn; 0 if none does.",
            [("", restarts.waiting() or 0.0)],
        )


def _ourselves(text: Exposition, board: Board) -> None:
    watch, outage = board.manager.watch, board.outage()
    text.counter(
        "serinus_suspended_seconds_total",
        "Seconds that the host was suspended.",
        [("", watch.suspended)],
    )
    text.counter(
        "serinus_canaries_excused_total",
        "Failed canaries that count for nothing, because the fault may be our own.",
        [("", board.manager.excused)],
    )
    text.gauge(
        "serinus_engines_lost_at_once",
        "Engines that are silent, where all of them fell silent at once; 0 otherwise.",
        [("", 0 if outage is None else outage.targets)],
    )


def _endpoints(text: Exposition, board: Board) -> None:
    groups = board.groups.fold(board.health()).groups
    fronts = {group.address for group in groups}  # the group speaks for it
    watched = [board.endpoints[one] for one in sorted(board.endpoints) if one not in fronts]
    if not watched:
        return
    now = board.clock()
    named = [(_address(one.address), one, one.health()) for one in watched]
    text.gauge(
        "serinus_endpoint_ready",
        "1 if the endpoint is ready; the reason is a label.",
        [_readiness(health) for _, _, health in named] + [_readiness(group) for group in groups],
    )
    text.gauge(
        "serinus_endpoint_status_seconds",
        "How long the endpoint has had its status.",
        [(labels(address), now - one.target.standing.verdict.since) for address, one, _ in named],
    )
    text.gauge(
        "serinus_endpoint_suspected",
        "1 while a failure is being confirmed.",
        [(labels(address), int(one.target.standing.suspected)) for address, one, _ in named],
    )
    text.gauge(
        "serinus_endpoint_degraded",
        "1 for each thing that is off while the endpoint serves; none where nothing is.",
        [(_with(address, what=word), 1) for address, one, _ in named for word in sorted(one.flaws)],
    )
    text.gauge(
        "serinus_endpoint_leased",
        "1 while a planned pause covers the endpoint.",
        [(labels(address), int(one.target.standing.leased(now))) for address, one, _ in named],
    )
    _deadlines(text, named)
    _cost(text, named, now)
    _correctness(text, named)
    text.counter("serinus_canaries_total", "Canaries by outcome.", list(_outcomes(named)))
    text.counter(
        "serinus_canary_seconds_total",
        "Seconds that canaries took that passed.",
        [(labels(address), one.target.counts.seconds) for address, one, _ in named],
    )
    text.counter(
        "serinus_canary_faults_total",
        "Canaries that failed while real output came: the payload is wrong.",
        [(labels(address), one.target.standing.canary_faults) for address, one, _ in named],
    )


def _readiness(judged: Judged) -> tuple[str, float]:
    return _with(_address(judged.address), reason=str(judged.reason)), int(judged.ready)


def _groups(text: Exposition, board: Board) -> None:
    groups = [
        (_address(group.address), group) for group in board.groups.fold(board.health()).groups
    ]
    if not groups:
        return
    sides = [(a, side) for a, group in groups for side in group.sides]
    text.gauge(
        "serinus_group_ready",
        "1 if enough members of the group are ready; the reason is a label.",
        [(_with(address, reason=str(group.reason)), int(group.ready)) for address, group in groups],
    )
    text.gauge(
        "serinus_group_members",
        "Members of the group, by role.",
        [(_with(address, role=side.role), len(side.members)) for address, side in sides],
    )
    text.gauge(
        "serinus_group_members_ready",
        "Members of the group that are ready, by role.",
        [(_with(address, role=side.role), side.ready) for address, side in sides],
    )
    text.gauge(
        "serinus_group_members_needed",
        "Members that the policy asks for, by role.",
        [(_with(address, role=side.role), side.needed) for address, side in sides],
    )
    text.gauge(
        "serinus_group_member_ready",
        "1 if the member is ready; its rank, its role and the reason are labels.",
        [
            (
                _with(
                    address,
                    member=member.name,
                    rank="" if member.rank is None else str(member.rank),
                    role=member.role,
                    reason=str(member.health.reason),
                ),
                int(member.health.ready),
            )
            for address, group in groups
            for member in group.members
        ],
    )


def _deadlines(text: Exposition, named: list[tuple[dict[str, str], Watched, Any]]) -> None:
    text.gauge(
        "serinus_endpoint_canary_deadline_seconds",
        "The time that a canary has, learned or configured.",
        [(labels(address), one.target.rules.deadline) for address, one, _ in named],
    )
    text.gauge(
        "serinus_endpoint_silence_seconds",
        "Silence of work in flight that is doubted, or where none is learned, stalled.",
        [
            (labels(address), one.target.rules.doubt or one.target.rules.stall)
            for address, one, _ in named
        ],
    )
    text.gauge(
        "serinus_endpoint_learned_samples",
        "Times that the deadlines are learned from.",
        [
            (_with(address, of=kind), times.samples)
            for address, one, _ in named
            for kind, times in (
                ("canaries", one.target.learned.canaries),
                ("gaps", one.target.learned.gaps),
            )
        ],
    )


def _cost(
    text: Exposition, named: list[tuple[dict[str, str], Watched, EndpointHealth]], now: float
) -> None:
    text.counter(
        "serinus_canary_tokens_total",
        "Tokens that engines made for canaries.",
        [(labels(address), one.target.standing.spent.tokens) for address, one, _ in named],
    )
    text.counter(
        "serinus_canaries_paid_total",
        "Canaries that were paid for, those without an outcome of their own included.",
        [(labels(address), one.target.standing.spent.canaries) for address, one, _ in named],
    )
    text.gauge(
        "serinus_canary_wait_seconds",
        "The wait before a routine canary, as the budget stretches it.",
        [
            (labels(a), stretched(one.target.standing.spent, one.target.rules, now=now))
            for a, one, _ in named
        ],
    )
    left = []
    for address, one, _ in named:
        rules, spent = one.target.rules, one.target.standing.spent
        for of, budget, purse in (
            ("canaries", rules.budget, spent.of_canaries),
            ("tokens", rules.token_budget, spent.of_tokens),
        ):
            if budget:
                left.append((_with(address, of=of), 1 - purse.emptiness(budget, now)))
    text.gauge(
        "serinus_canary_budget_left_ratio",
        "What is left of the purse for routine canaries, of 1; none where there is no budget.",
        left,
    )


def _correctness(
    text: Exposition, named: list[tuple[dict[str, str], Watched, EndpointHealth]]
) -> None:
    """Tell of answers to fixed prompts; nothing where none are examined."""
    examined = [(address, one.examined) for address, _, one in named if one.examined is not None]
    if not examined:
        return
    text.gauge(
        "serinus_endpoint_wrong",
        "1 if its answers to fixed prompts are wrong, whatever the policy.",
        [(labels(address), int(one.correctness.wrong is not None)) for address, one in examined],
    )
    text.gauge(
        "serinus_correctness_tokens_compared",
        "Tokens of its answers that are compared; 0 while they are learned, or tell nothing.",
        [
            (labels(address), one.correctness.sure(one.tolerance) if one.correctness.learned else 0)
            for address, one in examined
        ],
    )
    text.counter(
        "serinus_correctness_answers_total",
        "Answers to fixed prompts, by what they came to.",
        [
            (_with(address, outcome=str(mark)), count)
            for address, one in examined
            for mark, count in one.answers.items()
        ],
    )
    text.counter(
        "serinus_correctness_tokens_total",
        "Tokens of those answers; they are among those of canaries.",
        [(labels(address), one.tokens) for address, one in examined],
    )


def _outcomes(
    named: Iterable[tuple[dict[str, str], Watched, object]],
) -> Iterable[tuple[str, float]]:
    for address, one, _ in named:
        counts = one.target.counts
        yield _with(address, outcome="passed"), counts.passed
        yield _with(address, outcome="failed"), counts.failed
        yield _with(address, outcome="unknown"), counts.unknown


_Account = tuple[EndpointAddress, Traffic, dict[str, str]]


def _traffic(text: Exposition, accounts: list[_Account]) -> None:
    named = [(_address(address) | extra, traffic) for address, traffic, extra in accounts]
    text.gauge(
        "serinus_requests_in_flight",
        "Users' requests in flight.",
        [(labels(address), traffic.in_flight) for address, traffic in named],
    )
    text.counter(
        "serinus_requests_total",
        "Users' requests begun.",
        [(labels(a), t.started) for a, t in named],
    )
    text.counter(
        "serinus_requests_finished_total",
        "Users' requests that came to their own end.",
        [(labels(address), traffic.finished) for address, traffic in named],
    )
    text.counter(
        "serinus_request_failures_total",
        "Users' requests that failed, by whose fault it was.",
        [
            (_with(address, fault=str(fault)), traffic.errors.get(fault, 0))
            for address, traffic in named
            for fault in _REFERENCE_ERRORS
        ],
    )
    text.counter(
        "serinus_request_cancellations_total",
        "Users' requests that were cancelled.",
        [(labels(address), traffic.cancelled) for address, traffic in named],
    )
    text.counter(
        "serinus_chunks_total",
        "Good chunks of users' requests that have ended.",
        [(labels(address), traffic.chunks) for address, traffic in named],
    )


def _reference(text: Exposition, accounts: list[_Account], uptime: float) -> None:
    worker = {"worker_id": str(os.getpid())}
    named = [
        (
            {
                "dynamo_namespace": address.namespace,
                "dynamo_component": address.component,
                "dynamo_endpoint": address.endpoint,
                **worker,
                **extra,
            },
            traffic,
        )
        for address, traffic, extra in accounts
    ]
    prefix = "dynamo_component"
    text.gauge(f"{prefix}_uptime_seconds", "Seconds since the start.", [(labels(worker), uptime)])
    text.gauge(
        f"{prefix}_inflight_requests",
        "Users' requests in flight.",
        [(labels(address), traffic.in_flight) for address, traffic in named],
    )
    text.counter(
        f"{prefix}_requests_total",
        "Users' requests begun.",
        [(labels(address), traffic.started) for address, traffic in named],
    )
    text.counter(
        f"{prefix}_cancellation_total",
        "Users' requests that were cancelled.",
        [(labels(address), traffic.cancelled) for address, traffic in named],
    )
    text.counter(
        f"{prefix}_errors_total",
        "Users' requests that failed.",
        [
            (_with(address, error_type=kind), count)
            for address, traffic in named
            for kind, count in _reference_errors(traffic).items()
        ],
    )
    text.histogram(
        f"{prefix}_request_duration_seconds",
        "Seconds that users' requests took.",
        [
            (
                HistogramLabels(labels(address), BUCKETS),
                traffic.durations or [0] * (len(BUCKETS) + 1),
                traffic.duration_sum,
            )
            for address, traffic in named
        ],
    )


def _reference_errors(traffic: Traffic) -> dict[str, int]:
    errors: dict[str, int] = {}
    for fault, count in traffic.errors.items():
        kind = _REFERENCE_ERRORS[fault]
        errors[kind] = errors.get(kind, 0) + count
    return errors


def _address(address: EndpointAddress) -> dict[str, str]:
    return {
        "namespace": address.namespace,
        "component": address.component,
        "endpoint": address.endpoint,
    }


def _with(address: dict[str, str], **more: str) -> str:
    return labels(address | more)
