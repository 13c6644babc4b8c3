"""The notice board: the worker's documents, what is believed of the worker, and what it all says.

Documents come ready-made; what an answer costs does not grow with them. All answers of one turn
of the service share one look at the worker and one rendering each.
"""

from __future__ import annotations

import posix

from serinus.status.process import layout
from serinus.status.process.belief import STATES, believed, worker_state
from serinus.status.process.telemetry import Telemetry

STALE = 1.0
"""Seconds after which a heartbeat, due each 0.1 s, counts as missed."""
LATE_NS = 1_500_000_000
"""A gap this long between two turns of ours says that we were asleep, not the worker."""
STOPPED = frozenset((b"T", b"t"))


class Look:
    """What is believed of the worker at one moment; times in ns, ages in seconds."""

    __slots__ = (
        "live",
        "loop_age",
        "now",
        "ready",
        "reason",
        "state",
        "thread_age",
        "withdrawn",
    )

    def __init__(
        self,
        now: int,
        belief: tuple[bool, bool, str],
        *,
        state: str,
        loop_age: float | None,
        thread_age: float,
        withdrawn: bool,
    ) -> None:
        self.now = now
        self.ready, self.live, self.reason = belief
        self.withdrawn = withdrawn
        self.state = state
        self.loop_age = loop_age
        self.thread_age = thread_age


class Document:
    """The newest document of one kind."""

    __slots__ = ("content", "taken")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.taken = 0


class Board:
    """Keeps the documents and renders the bodies of answers."""

    def __init__(
        self,
        words: memoryview,
        *,
        worker: int,
        loop_stall: float,
        loop_budget: float,
        live_follows_ready: bool,
        telemetry: Telemetry,
    ) -> None:
        self._words = words
        self._worker = worker
        self._loop_stall = loop_stall
        self._loop_budget = loop_budget
        self._stale = min(STALE, loop_stall)
        self._live_follows_ready = live_follows_ready
        self._telemetry = telemetry
        self._ready, self._live, self._armed, self._reason = False, True, False, "starting"
        self._degraded = False
        self._documents = (Document(b"{}"), Document(b"{}"), Document(b""))
        self._endpoints: dict[bool, bytes] = {}
        self._turn = 0
        self._excused = 0
        self._look: Look | None = None
        self.dead = False

    def turn(self, now: int) -> None:
        """Begin a turn: what was seen in the last one is forgotten.

        When we were asleep ourselves (a suspended machine, a frozen container, no CPU), the
        worker may have been too: its silence is then counted from our own awakening.
        """
        if self._turn and now - self._turn > LATE_NS:
            self._excused = now
        self._turn = now
        self._look = None
        self._words[layout.CHILD_BEAT] = now

    def take(
        self, kind: int, head: tuple[bool, bool, bool, str, bool] | None, content: bytes
    ) -> None:
        """Replace a document by a newer one."""
        document = self._documents[kind]
        document.content = content
        document.taken = self._turn
        if head is not None:
            self._ready, self._live, self._armed, self._reason, self._degraded = head
            self._endpoints.clear()
        self._look = None

    def worker_died(self) -> None:
        """Remember that the worker is gone."""
        self.dead = True
        self._look = None

    def taken(self, kind: int) -> int:
        """When the newest document of this kind came, in ns; 0: none ever did."""
        return self._documents[kind].taken

    @property
    def look(self) -> Look:
        """What is believed of the worker in this turn."""
        if self._look is None:
            self._look = self._see()
        return self._look

    @property
    def asks_in_vain(self) -> bool:
        """Whether nobody would answer if the worker were asked for a fresh document."""
        age = self.look.loop_age
        return self.dead or age is None or age > self._stale

    def impaired(self, *, live: bool) -> bool:
        """Whether a probe's answer is good and yet not as it should be."""
        readiness = not live or self._live_follows_ready
        return readiness and self._degraded and self.look.ready

    def health(self, *, live: bool) -> tuple[int, bytes, bytes]:
        """Render a probe's answer: code, the part that changes, the part that does not."""
        look = self.look
        good, word, bad = (look.ready, b"ready", b"notready")
        if live and not self._live_follows_ready:
            good, word, bad = (look.live, b"live", b"notlive")
        up = max(0, look.now - self._words[layout.STARTED])
        front = b'{"status":"%s","uptime":{"secs":%d,"nanos":%d},"endpoints":' % (
            word if good else bad,
            up // 1_000_000_000,
            up % 1_000_000_000,
        )
        return 200 if good else 503, front, self._closing(withdrawn=look.withdrawn)

    def verbose(self, *, live: bool) -> tuple[int, bytes, bytes]:
        """Render a probe's answer with the worker's details and our own view of it."""
        code, front, tail = self.health(live=live)
        look = self.look
        document = self._documents[layout.DETAILS]
        inner = document.content.strip()[1:-1].strip()
        age = _seconds(look.now, document.taken) if document.taken else None
        ours = (
            f'"worker":{{"state":"{look.state}","pid":{self._worker},"reason":"{look.reason}",'
            f'"loop_age":{_json(look.loop_age)},"thread_age":{_json(look.thread_age)}}},'
            f'"details_age":{_json(age)}'
        ).encode()
        return (
            code,
            front,
            b'%s,"details":{%s%s%s}}'
            % (
                tail[:-1],
                inner,
                b"," if inner else b"",
                ours,
            ),
        )

    def metrics(self, connections: int) -> tuple[int, bytes, bytes]:
        """Render the worker's metrics, then our own."""
        if self.dead:
            return 503, b"worker_dead\n", b""
        look = self.look
        ages = [
            (kind, _seconds(look.now, document.taken))
            for kind, document in zip(layout.KINDS, self._documents, strict=True)
            if document.taken
        ]
        own = self._telemetry.render(
            connections=connections,
            states=[(state, state == look.state) for state in STATES],
            loop_age=look.loop_age,
            thread_age=look.thread_age,
            document_ages=ages,
        )
        return 200, self._documents[layout.METRICS].content, own

    def _closing(self, *, withdrawn: bool) -> bytes:
        """The end of a body: the endpoints' states, as told or, of a mute worker, all not ready."""
        closing = self._endpoints.get(withdrawn)
        if closing is None:
            closing = self._documents[layout.HEALTH].content + b"}"
            if withdrawn:  # quotes in a name are escaped, so this meets states only
                closing = closing.replace(b'":"ready"', b'":"notready"')
            self._endpoints[withdrawn] = closing
        return closing

    def _see(self) -> Look:
        now = self._turn
        loop_beat = self._words[layout.LOOP_BEAT]
        thread_age = _seconds(now, max(self._words[layout.THREAD_BEAT], self._excused))
        loop_age: float | None = None
        blocked = beyond_lease = 0.0
        if loop_beat:
            since = max(loop_beat, self._excused)
            loop_age = blocked = _seconds(now, since)
            beyond_lease = _seconds(now, max(since, self._words[layout.LEASE_UNTIL]))
        quiet = max(thread_age, blocked) > self._stale
        state = worker_state(
            dead=self.dead,
            stopped=quiet and not self.dead and _process_state(self._worker) in STOPPED,
            loop_age=loop_age,
            thread_age=thread_age,
            stale=self._stale,
        )
        belief = believed(
            ready=self._ready,
            live=self._live,
            armed=self._armed,
            reason=self._reason,
            state=state,
            blocked=blocked,
            blocked_beyond_lease=beyond_lease,
            loop_stall=self._loop_stall,
            loop_budget=self._loop_budget,
        )
        return Look(
            now,
            belief,
            state=state,
            loop_age=loop_age,
            thread_age=thread_age,
            withdrawn=self.dead or blocked > self._loop_stall,
        )


def _seconds(now: int, then: int) -> float:
    return max(0, now - then) / 1e9


def _json(number: float | None) -> str:
    return "null" if number is None else f"{number:.3f}"


def _process_state(pid: int) -> bytes:
    """The kernel's letter for a process (proc(5), stat, field 3); empty when it is gone."""
    try:
        descriptor = posix.open(f"/proc/{pid}/stat", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return posix.read(descriptor, 512).rpartition(b") ")[2][:1]
    except OSError:  # it went between the two calls
        return b""
    finally:
        posix.close(descriptor)
