"""Evidence: one thing seen, when, and by whom. It carries no judgement.

`at` is always the time at which the thing was known, in seconds of the caller's monotonic clock.
Other times are called so that a trace knows them as times: `sent`, `until`, `since`, or a name that
ends in `_at`, `_until` or `_since`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, TypeAlias

__all__ = [
    "Blinded",
    "CanaryFailed",
    "CanaryFault",
    "CanaryPassed",
    "CanaryUnknown",
    "EngineDied",
    "Evidence",
    "Heard",
    "Lease",
    "Load",
    "Loading",
    "Phase",
    "Progress",
    "Registered",
    "RequestFailed",
    "RequestFault",
    "SiblingFailed",
    "Sleep",
    "Spent",
    "Tick",
    "Witness",
]


class Witness(StrEnum):
    """Who says what is said of an endpoint. Progress and load are seen by the first two alone."""

    TRAFFIC = "traffic"
    COUNTERS = "engine counters"
    CANARY = "canary"
    OWN_HEALTH = "own health"
    PROCESS = "process"
    OWNER = "owner"
    OURSELVES = "ourselves"
    """Serinus: what it says of itself says nothing of the engine."""


class CanaryFault(StrEnum):
    """How a canary failed."""

    TIMEOUT = "timeout"
    ERROR_ITEM = "error item"
    EMPTY = "empty stream"
    RAISED = "raised"
    REFUSED = "connection refused"
    DROPPED = "connection dropped"
    WRONG_SHAPE = "wrong shape"
    STUCK = "would not end when cancelled"


class RequestFault(StrEnum):
    """Who is to blame for a failed request of a user."""

    CLIENT = "client"
    SERVER = "server"
    TIMEOUT = "timeout"
    TRANSPORT = "transport"
    EMPTY = "empty"
    """It ended well, and brought nothing: nobody's word that anything is wrong."""


class Phase(StrEnum):
    """How far a starting engine has come."""

    PORT_CLOSED = "port closed"
    UNRECOGNISED = "engine not recognised"
    NO_MODEL = "no model listed"
    FIRST_TOKEN = "waiting for the first token"


class Registered(NamedTuple):
    """An endpoint began its life. `canary`: it has a payload and canaries are enabled."""

    at: float
    canary: bool

    def __str__(self) -> str:
        return "registered"


class Progress(NamedTuple):
    """Real output: a non-error chunk, a finished request, or an engine's counter that moved."""

    at: float
    witness: Witness = Witness.TRAFFIC
    flow: bool = True
    """Whether it shows work in flight going on, and not only beginning (see Load.flow_at)."""
    gap: float = 0.0
    """The longest silence of work in flight, in seconds, since the last such word; 0: unknown."""
    began_at: float | None = None
    """When a request last brought its first output. None where beginnings are not told apart."""
    flow_at: float | None = None
    """From when on silence counts, if not from `at`: what moved between two readings of a page may
    have done so right after the first of them."""

    def __str__(self) -> str:
        return f"progress seen by {self.witness}"


class Load(NamedTuple):
    """Work in flight, our own canary not counted. `pending` is None when nobody can say.

    `flow_at` is when a stream last went on (an item after its first, or a good end; for engines,
    any counter) or when waiting for the engine began, whichever came later.
    """

    at: float
    pending: int | None
    flow_at: float | None = None
    witness: Witness = Witness.TRAFFIC
    newcomers: bool | None = None
    """Whether work that has brought nothing yet was there when the silence began: reading a long
    prompt looks like it. None when nobody can say."""

    def __str__(self) -> str:
        return "load unknown" if self.pending is None else f"{self.pending} in flight"


class RequestFailed(NamedTuple):
    """A user's request ended badly."""

    at: float
    fault: RequestFault
    detail: str = ""

    def __str__(self) -> str:
        return f"a request failed ({self.fault}){_tail(self.detail)}"


class CanaryPassed(NamedTuple):
    """A canary brought its token. `first_item` and `total` are seconds since it was sent."""

    at: float
    first_item: float
    total: float
    tokens: int = 1
    flow: bool = True
    """Whether it shows that work in flight goes on; one sent on top of it need not."""

    def __str__(self) -> str:
        return f"canary: first item after {self.first_item:.3f} s, done after {self.total:.3f} s"


class CanaryFailed(NamedTuple):
    """A canary sent at `sent` did not bring its token."""

    at: float
    sent: float
    fault: CanaryFault
    detail: str = ""

    def __str__(self) -> str:
        return f"canary failed: {self.fault} after {self.at - self.sent:.3f} s{_tail(self.detail)}"


class CanaryUnknown(NamedTuple):
    """A canary whose outcome means nothing: our own loop was late, or it was called off."""

    at: float
    detail: str = ""

    def __str__(self) -> str:
        return f"canary without a meaning{_tail(self.detail)}"


class Blinded(NamedTuple):
    """We could not see, from `since` to `at`, by a fault of our own: it accuses nobody."""

    at: float
    since: float
    detail: str = ""

    def __str__(self) -> str:
        return f"trouble of our own for {self.at - self.since:.1f} s{_tail(self.detail)}"


class Loading(NamedTuple):
    """A starting engine was seen in a phase."""

    at: float
    phase: Phase

    def __str__(self) -> str:
        return f"loading: {self.phase}"


class EngineDied(NamedTuple):
    """The engine is gone, said by its owner, its monitor or its closed port."""

    at: float
    detail: str = ""

    def __str__(self) -> str:
        return f"engine died{_tail(self.detail)}"


class Heard(NamedTuple):
    """An engine's own word on its health: testimony, which never decides by itself.

    `well` is None where it gave no answer, or one that says neither.
    """

    at: float
    well: bool | None
    detail: str = ""

    def __str__(self) -> str:
        return f"the engine says of itself: {_OWN_WORDS[self.well]}{_tail(self.detail)}"


_OWN_WORDS = {True: "well", False: "not well", None: "nothing"}


class Lease(NamedTuple):
    """A planned pause lasts until `until`; one in the past ends it."""

    at: float
    until: float
    why: str = ""

    def __str__(self) -> str:
        return f"lease for {self.until - self.at:.1f} s{_tail(self.why)}"


class Sleep(NamedTuple):
    """An engine says that its owner has put it to sleep (or has paused it), or that it is awake."""

    at: float
    asleep: bool
    detail: str = ""

    def __str__(self) -> str:
        state = "asleep" if self.asleep else "awake"
        return f"the engine says that it is {state}{_tail(self.detail)}"


class Spent(NamedTuple):
    """What a question cost that is told of by no canary's outcome. `urgent`: it was in doubt."""

    at: float
    canaries: int = 1
    tokens: int = 0
    urgent: bool = False

    def __str__(self) -> str:
        return f"{self.canaries} question(s) besides, of {self.tokens} token(s)"


class SiblingFailed(NamedTuple):
    """Another member of its group turned not ready: the same may be wrong here, so it is asked."""

    at: float
    member: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.member} of its group turned not ready{_tail(self.detail)}"


class Tick(NamedTuple):
    """Nothing new but the time."""

    at: float

    def __str__(self) -> str:
        return "time passed"


Evidence: TypeAlias = (
    Blinded
    | Registered
    | Progress
    | Load
    | RequestFailed
    | CanaryPassed
    | CanaryFailed
    | CanaryUnknown
    | Loading
    | EngineDied
    | Heard
    | Lease
    | Sleep
    | Spent
    | SiblingFailed
    | Tick
)


def _tail(detail: str) -> str:
    return f": {detail}" if detail else ""
