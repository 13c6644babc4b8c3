"""Data-parallel ranks: several cores behind one server, and the balancer between them.

A request that names no rank goes to the one with the least in hand, as the last steps showed it:
like the balancers of real engines it believes what the ranks have reported, so that one which hangs
looks idle for as long as nothing waits in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from serinus.sim.asks import AskError
from serinus.sim.engine import Engine
from serinus.sim.jobs import Job, Order

__all__ = ["Ranks"]


class Ranks:
    """The cores of one server, one or more of them."""

    def __init__(self, cores: Sequence[Engine]) -> None:
        self.cores = tuple(cores)
        self._homes: dict[Job, Engine] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self.cores)

    @property
    def running(self) -> int:
        """The sequences that hold a slot."""
        return sum(core.running for core in self.cores)

    @property
    def waiting(self) -> int:
        """The sequences that a core has seen and has no slot for."""
        return sum(core.waiting for core in self.cores)

    @property
    def unseen(self) -> int:
        """The sequences that no core has looked at yet."""
        return sum(core.unseen for core in self.cores)

    def submit(self, orders: Iterable[Order], *, rank: int | None = None) -> Job:
        """Take a request in, for a rank or for any, and return its job.

        Raises:
            QueueFullError: Its rank has no room.
            AskError: There is no such rank.
        """
        if rank is not None and not 0 <= rank < len(self.cores):
            raise AskError(
                f"data_parallel_rank {rank} is out of range [0, {len(self.cores)}).",
            )
        core = self._least() if rank is None else self.cores[rank]
        job = core.submit(orders)
        self._homes[job] = core
        return job

    def abort(self, job: Job) -> None:
        """Let the sequences of a job go; those that ended are left alone."""
        core = self._homes.pop(job, None)
        if core is not None:
            core.abort(job)

    @property
    def asleep(self) -> bool:
        """Whether they were put to sleep."""
        return any(core.asleep for core in self.cores)

    def sleep(self, *, abort: bool) -> None:
        """Put all of them to sleep."""
        for core in self.cores:
            core.sleep(abort=abort)

    def wake(self) -> None:
        """Wake all of them up."""
        for core in self.cores:
            core.wake()

    async def turn(self) -> None:
        """Wait until every core's loop can take its turn."""
        for core in self.cores:
            await core.turn()

    def _least(self) -> Engine:
        """Return the core with the least in hand; of several, the one after the last."""
        order = [*self.cores[self._next :], *self.cores[: self._next]]
        core = min(order, key=lambda one: one.running + one.waiting)
        self._next = (self.cores.index(core) + 1) % len(self.cores)
        return core
