"""The closed vocabularies: what a verdict says, and why."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["HealthStatus", "LiveReason", "Reason", "Rule"]


class HealthStatus(StrEnum):
    """May traffic come here."""

    READY = "ready"
    NOTREADY = "notready"


class Reason(StrEnum):
    """Why an endpoint has its status. `remedy` says what would change it."""

    # ready
    CANARY = "canary"
    TRAFFIC = "traffic"
    DECLARED = "declared"
    # not ready yet
    UNPROVEN = "unproven"
    PORT_CLOSED = "port_closed"
    UNRECOGNISED = "unrecognised"
    NO_MODEL = "no_model"
    FIRST_TOKEN = "first_token"
    # not ready any more
    CANARY_TIMEOUT = "canary_timeout"
    CANARY_ERROR = "canary_error"
    CANARY_EMPTY = "canary_empty"
    CANARY_RAISED = "canary_raised"
    CANARY_REFUSED = "canary_refused"
    CANARY_DROPPED = "canary_dropped"
    CANARY_WRONG_SHAPE = "canary_wrong_shape"
    CANARY_STUCK = "canary_stuck"
    CHECK_FAILED = "check_failed"
    STALLED = "stalled"
    ENGINE_DIED = "engine_died"
    BLIND = "blind"
    SLEEPING = "sleeping"
    DEGRADED = "degraded"
    WRONG = "wrong"

    @property
    def remedy(self) -> str:
        """What would change it, in one line."""
        return _REMEDIES[self]

    @property
    def is_hang(self) -> bool:
        """Whether this is silence, the one failure of an endpoint that a restart can help."""
        return self in _HANGS


_ONE_GOOD_CANARY = "a canary that brings a token, or one good chunk of real traffic"
_REMEDIES = {
    Reason.CANARY: "canaries that fail, or work in flight without progress past the stall budget",
    Reason.TRAFFIC: "canaries that fail, or work in flight without progress past the stall budget",
    Reason.DECLARED: "nothing: it has no canary; give it a payload and enable canaries",
    Reason.UNPROVEN: f"the first proof: {_ONE_GOOD_CANARY}",
    Reason.PORT_CLOSED: "the engine's port opening",
    Reason.UNRECOGNISED: "an engine that is known, or its kind said by --engine",
    Reason.NO_MODEL: "the engine listing a model",
    Reason.FIRST_TOKEN: "the engine's first token",
    Reason.CANARY_TIMEOUT: _ONE_GOOD_CANARY,
    Reason.CANARY_ERROR: _ONE_GOOD_CANARY,
    Reason.CANARY_EMPTY: _ONE_GOOD_CANARY,
    Reason.CANARY_RAISED: _ONE_GOOD_CANARY,
    Reason.CANARY_REFUSED: f"the engine's port answering, then {_ONE_GOOD_CANARY}",
    Reason.CANARY_DROPPED: _ONE_GOOD_CANARY,
    Reason.CANARY_WRONG_SHAPE: f"a payload that the engine understands, then {_ONE_GOOD_CANARY}",
    Reason.CANARY_STUCK: "the cancelled canary's handler ending, or one good chunk of real traffic",
    Reason.CHECK_FAILED: "the custom check passing",
    Reason.STALLED: "any progress: a token, a step or a finished request",
    Reason.ENGINE_DIED: "a restart of the engine",
    Reason.DEGRADED: "what is off coming right again, or a policy that only reports it",
    Reason.WRONG: "right answers to the fixed prompts, a policy that only reports it, or another"
    " reference",
    Reason.SLEEPING: f"its owner waking it up, then {_ONE_GOOD_CANARY}",
    Reason.BLIND: f"an end of the trouble on our own side, then {_ONE_GOOD_CANARY}",
}
_HANGS = frozenset({Reason.CANARY_TIMEOUT, Reason.CANARY_STUCK, Reason.STALLED})


class Rule(StrEnum):
    """Which rule decided the readiness of the whole process, in their order."""

    DRAINING = "draining"
    ENGINE_DIED = "engine_died"
    HOLD = "hold"
    CHECKS = "checks"
    NAMED_ENDPOINTS = "named_endpoints"
    ENDPOINTS_WITH_PAYLOAD = "endpoints_with_payload"
    ALL_ENDPOINTS = "all_endpoints"
    PROCESS_STATUS = "process_status"


class LiveReason(StrEnum):
    """Why the process is live or not: would a restart help."""

    LIVE = "live"
    ENGINE_DIED = "engine_died"
    HANG = "hang"
    NOT_READY = "not_ready"
    WAITING = "waiting"
    """A restart would help, and other instances have their turn (`core/governor.py`)."""
