"""How many requests are served at once, and how many may wait for that."""

from __future__ import annotations

import asyncio
from collections import deque

from serinus.errors import RequestError
from serinus.request_plane.faults import Fault

__all__ = ["Gate", "Ticket"]


class Gate:
    """Admits `most` requests at once, lets `queue` more wait in turn, and refuses the rest."""

    def __init__(self, *, most: int, queue: int) -> None:
        self.most = most
        self.queue = queue
        self.inside = 0
        self.refused = 0
        self._waiting: deque[Ticket] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def admit(self) -> Ticket:
        """Take a ticket, which must be left again. Raises RequestError when all is full."""
        ticket = Ticket(self)
        if self.inside < self.most and not self._waiting:
            self._let_in(ticket)
        elif len(self._waiting) < self.queue:
            self._waiting.append(ticket)
        else:
            self.refused += 1
            raise RequestError(
                f"{self.inside} requests in flight and {self.waiting} waiting: no more are taken",
                fault=Fault.OVERLOADED,
            )
        return ticket

    def left(self, ticket: Ticket) -> None:
        """Take a ticket back: for the ticket."""
        if not ticket.inside:
            self._waiting.remove(ticket)
            return
        self.inside -= 1
        while self._waiting and self.inside < self.most:
            self._let_in(self._waiting.popleft())

    def _let_in(self, ticket: Ticket) -> None:
        self.inside += 1
        ticket.let_in()


class Ticket:
    """One request's, from `admit` to `leave`."""

    __slots__ = ("_entered", "_gate", "_left")

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._entered = asyncio.Event()
        self._left = False

    @property
    def inside(self) -> bool:
        """Whether its turn has come."""
        return self._entered.is_set()

    async def turn(self) -> None:
        """Wait until it is its turn."""
        await self._entered.wait()

    def let_in(self) -> None:
        """Say that its turn has come: for the gate."""
        self._entered.set()

    def leave(self) -> None:
        """Give it back, entered or not; twice is once."""
        if not self._left:
            self._left = True
            self._gate.left(self)
