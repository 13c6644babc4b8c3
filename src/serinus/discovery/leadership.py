"""A name that only one process may hold at a time, as this process sees it."""

from __future__ import annotations

import asyncio

__all__ = ["Leadership"]


class Leadership:
    """Whether this process holds a key. Made by `Discovery.lead`; used on its event loop.

    It is held from its creation until the lease may have run out, which this process learns before
    anyone else can create it.
    """

    def __init__(self, key: str, value: bytes) -> None:
        self.key = key
        self.value = value
        self.resigned = asyncio.Event()
        self._held = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()

    @property
    def held(self) -> bool:
        """Whether it is held now."""
        return self._held.is_set()

    async def won(self) -> None:
        """Wait until it is held."""
        await self._held.wait()

    async def lost(self) -> None:
        """Wait until it is not held."""
        await self._free.wait()

    def resign(self) -> None:
        """Give it back, and try for it no more."""
        self.resigned.set()

    def turn(self, *, held: bool) -> None:
        """Say whether it is held: for who creates the key."""
        (self._held if held else self._free).set()
        (self._free if held else self._held).clear()
