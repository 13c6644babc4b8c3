"""What the status process makes of the worker: pure, no clock, no I/O.

The worker's own document is believed unless the worker can no longer speak for itself: it is
gone, or its event loop has not moved for longer than a budget. Two heartbeats tell why:

    loop   thread
    fresh  any      running
    old    fresh    loop_blocked: something blocks the event loop
    old    old      process_frozen: a C call holds the GIL, or the process gets no CPU
    old    old      process_stopped: the kernel says so (SIGSTOP, a debugger)
"""

from __future__ import annotations

RUNNING = "running"
LOOP_BLOCKED = "loop_blocked"
PROCESS_FROZEN = "process_frozen"
PROCESS_STOPPED = "process_stopped"
DEAD = "dead"
STATES = (RUNNING, LOOP_BLOCKED, PROCESS_FROZEN, PROCESS_STOPPED, DEAD)

WORKER_DEAD = "worker_dead"


def worker_state(
    *, dead: bool, stopped: bool, loop_age: float | None, thread_age: float, stale: float
) -> str:
    """Name the state of the worker's process.

    Ages are seconds since the last heartbeat, `loop_age` None when no loop is attached; beyond
    `stale` seconds a heartbeat is old.
    """
    if dead:
        return DEAD
    if stopped:
        return PROCESS_STOPPED
    if loop_age is not None and loop_age <= stale:
        return RUNNING
    if thread_age > stale:
        return PROCESS_FROZEN
    return RUNNING if loop_age is None else LOOP_BLOCKED


def believed(
    *,
    ready: bool,
    live: bool,
    armed: bool,
    reason: str,
    state: str,
    blocked: float,
    blocked_beyond_lease: float,
    loop_stall: float,
    loop_budget: float,
) -> tuple[bool, bool, str]:
    """Decide readiness, liveness and their reason.

    `ready`, `live`, `armed` and `reason` are the worker's own word. `blocked` is for how many
    seconds its loop has not moved; above `loop_stall` it is not ready, above `loop_budget` not
    live. Only a worker that has been ready once (`armed`) can lose its liveness that way: while
    a model loads, a blocked loop is usual. A lease excuses liveness, never readiness: a blocked
    worker serves nobody, announced or not.
    """
    if state == DEAD:
        return False, False, WORKER_DEAD
    stalled = ready and blocked > loop_stall
    hung = live and armed and blocked_beyond_lease > loop_budget
    return ready and not stalled, live and not hung, state if stalled or hung else reason
