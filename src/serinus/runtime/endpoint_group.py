"""Endpoints of the library that serve together: ranks, shards, the two sides of a service."""

from __future__ import annotations

from collections.abc import Callable

from serinus.core.address import EndpointAddress
from serinus.core.group import Group
from serinus.errors import SettingsError
from serinus.runtime.board import Board
from serinus.runtime.endpoint import Endpoint
from serinus.runtime.gathering import rank_address

__all__ = ["EndpointGroup"]


class EndpointGroup:
    """A group of a runtime. Made by `runtime.group("namespace.component.endpoint")`.

    It decides readiness in its members' place; each of them is judged as any endpoint is. A member
    that is not served (yet, or any more) is not ready.
    """

    def __init__(
        self, group: Group, *, board: Board, make: Callable[[EndpointAddress, int | None], Endpoint]
    ) -> None:
        self.address = group.address
        self._board = board
        self._make = make
        self._gathering = board.groups.gather(group)

    def endpoint(self, *, rank: int) -> Endpoint:
        """Return the endpoint of a rank, which is a member from now on.

        Its address is the group's with `-rank-N` after it. Its canary's payload has the key
        `data_parallel_rank`, which the handler passes on to the engine. Raises SettingsError for a
        rank that cannot be, LifecycleError for one that is a member already.
        """
        if not _is_rank(rank):
            raise SettingsError(f"group {self.address}: rank {rank!r}; accepted: 0, 1, 2, …")
        address = rank_address(self.address, rank)
        self._board.groups.join(self._gathering, address, rank=rank)
        return self._make(address, rank)

    def join(self, endpoint: Endpoint, *, name: str = "", role: str = "") -> None:
        """Make any endpoint a member, whether it is served yet or not.

        `name` is for people; `role` is `prefill` or `decode` in a group of that kind. Raises
        SettingsError for another role, LifecycleError for an endpoint that is a member already.
        """
        self._board.groups.join(self._gathering, endpoint.address, name=name, role=role)

    def leave(self, endpoint: Endpoint) -> None:
        """Let a member go, which stands alone from then on; twice is once."""
        self._board.groups.leave(self._gathering, endpoint.address)

    def disband(self) -> None:
        """End the group; its members stand alone."""
        self._board.groups.disband(self._gathering)


def _is_rank(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
