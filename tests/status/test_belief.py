"""What the status process believes: the table of heartbeats, budgets and the worker's word."""

from __future__ import annotations

import pytest

from serinus.status.process.belief import believed, worker_state


@pytest.mark.parametrize(
    ("loop_age", "thread_age", "dead", "stopped", "state"),
    [
        (0.1, 0.1, False, False, "running"),
        (1.0, 1.0, False, False, "running"),
        (0.1, 9.0, False, False, "running"),
        (1.1, 0.1, False, False, "loop_blocked"),
        (1.1, 1.1, False, False, "process_frozen"),
        (9.0, 9.0, False, True, "process_stopped"),
        (9.0, 0.1, False, True, "process_stopped"),
        (None, 0.1, False, False, "running"),
        (None, 1.1, False, False, "process_frozen"),
        (None, 1.1, False, True, "process_stopped"),
        (0.1, 0.1, True, False, "dead"),
        (9.0, 9.0, True, True, "dead"),
    ],
)
def test_the_state_of_the_worker(
    loop_age: float | None, thread_age: float, *, dead: bool, stopped: bool, state: str
) -> None:
    """Heartbeats, the kernel and the pidfd tell the causes of silence apart."""
    seen = worker_state(
        dead=dead, stopped=stopped, loop_age=loop_age, thread_age=thread_age, stale=1.0
    )
    assert seen == state


def believe(
    *,
    ready: bool = True,
    live: bool = True,
    armed: bool = True,
    state: str = "loop_blocked",
    blocked: float = 0.0,
    beyond_lease: float | None = None,
) -> tuple[bool, bool, str]:
    """Believe, with a stall budget of 5 s and a hang budget of 60 s."""
    return believed(
        ready=ready,
        live=live,
        armed=armed,
        reason="told",
        state=state,
        blocked=blocked,
        blocked_beyond_lease=blocked if beyond_lease is None else beyond_lease,
        loop_stall=5.0,
        loop_budget=60.0,
    )


@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("blocked", [0.0, 4.9, 5.0])
def test_the_worker_is_believed_below_the_budgets(
    blocked: float, *, ready: bool, live: bool
) -> None:
    """A short blockage changes nothing, whatever the worker said."""
    assert believe(ready=ready, live=live, blocked=blocked) == (ready, live, "told")


@pytest.mark.parametrize("state", ["loop_blocked", "process_frozen", "process_stopped"])
def test_a_stall_costs_readiness_and_a_hang_liveness(state: str) -> None:
    """Above the first budget not ready, above the second not live, and the state is the reason."""
    assert believe(state=state, blocked=5.1) == (False, True, state)
    assert believe(state=state, blocked=60.0) == (False, True, state)
    assert believe(state=state, blocked=60.1) == (False, False, state)


def test_loading_is_never_a_hang() -> None:
    """A worker that was never ready keeps its liveness however long its loop is blocked."""
    assert believe(ready=False, armed=False, blocked=1e6) == (False, True, "told")


def test_a_draining_worker_that_hangs_is_not_live() -> None:
    """One that was ready once can hang without being ready now."""
    assert believe(ready=False, blocked=10.0) == (False, True, "told")
    assert believe(ready=False, blocked=61.0) == (False, False, "loop_blocked")


def test_a_lease_excuses_liveness_only() -> None:
    """An announced pause is no hang, but nobody can be served in it."""
    assert believe(blocked=500.0, beyond_lease=0.0) == (False, True, "loop_blocked")
    assert believe(blocked=500.0, beyond_lease=61.0) == (False, False, "loop_blocked")


def test_the_workers_own_bad_news_stand() -> None:
    """What the worker said of itself is never improved."""
    assert believe(ready=False, live=False, blocked=100.0) == (False, False, "told")


def test_a_dead_worker_is_nothing() -> None:
    """Neither ready nor live, armed or not."""
    assert believe(state="dead", armed=False) == (False, False, "worker_dead")
