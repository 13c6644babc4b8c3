"""A process of a fleet, as the scenarios start and kill it.

Its argument is JSON: the settings, and what it announces and wants to lead. It writes a line
whenever what it sees changes, and twice a second to show that it lives.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import Any

from serinus.discovery import Discovery
from serinus.discovery.choice import backend_of
from serinus.settings import Settings


async def main(said: dict[str, Any]) -> None:
    """Announce until SIGTERM."""
    backend = backend_of(Settings(**said["settings"]))
    assert backend is not None
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with Discovery(backend, lease=said["lease"], owner=said["owner"]) as discovery:
        for key, value in said["announce"].items():
            discovery.announce(key, value.encode())
        led = discovery.lead(said["lead"], said["owner"].encode()) if said["lead"] else None
        before: dict[str, Any] = {}
        turn = 0
        while not ended.is_set():
            now = {
                "settled": discovery._settled.is_set(),
                "conflicts": discovery.conflicts(),
                "trouble": discovery.trouble,
                "leads": led is not None and led.held,
            }
            if now != before or turn % 10 == 0:
                print(json.dumps(now | {"turn": turn}), flush=True)
            before, turn = now, turn + 1
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
