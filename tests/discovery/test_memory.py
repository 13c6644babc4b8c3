"""The backend in memory, by the suite that all backends have to pass, and what only it can do."""

from __future__ import annotations

import pytest

from serinus.discovery import Backend
from serinus.discovery.memory import Memory
from tests.discovery.contract import BackendContract, World


class MemoryWorld(World):
    """A store in this process, in virtual time."""

    late = 0.0

    def __init__(self) -> None:
        self.store = Memory()

    def client(self) -> Backend:
        """Return the store: all clients are of this process."""
        return self.store

    async def fail(self) -> None:
        """Become unreachable."""
        self.store.fail()

    async def restore(self) -> None:
        """Be reachable again."""
        self.store.restore()


class TestMemory(BackendContract):
    """The suite over memory."""

    @pytest.fixture
    async def world(self) -> MemoryWorld:
        """Return a store of its own for each test."""
        return MemoryWorld()
