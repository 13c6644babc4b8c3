"""What `test_processes.py` shows over files, over a real etcd."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.discovery.servers import Etcd
from tests.request_plane.processes import HERE, program

pytestmark = pytest.mark.servers

PACE = 40
SOON = 0.25


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """Return the settings of a fleet around an etcd of its own."""
    etcd = Etcd(tmp_path)
    etcd.start()
    try:
        yield {
            "DYN_DISCOVERY_BACKEND": "etcd",
            "ETCD_ENDPOINTS": etcd.urls[0],
            "SERINUS_RPC_HOST": "127.0.0.1",
        }
    finally:
        etcd.kill()


def test_an_instance_that_is_not_ready_gets_no_more_requests(fleet: Mapping[str, str]) -> None:
    """Under load, within 250 ms; none is lost, and when it is ready again it is asked again."""
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                program(
                    HERE / "worker.py", str(one), env={**fleet, "SERINUS_INSTANCE_ID": str(one)}
                )
            )
            for one in (1, 2)
        ]
        for worker in workers:
            worker.tells("served")
        arguments = ("2", str(PACE), '{"items": 3, "gap": 0.01}')
        load = stack.enter_context(program(HERE / "load.py", *arguments, env=fleet))
        for number in (1, 2):
            load.tells("answered", by=number)
        first = workers[0]
        best, back = float("inf"), 0.0
        for _ in range(3):
            first.signal(signal.SIGUSR1)
            turned = first.tells("withheld", after=back)["at"]
            time.sleep(1.5)
            last = max((one["at"] for one in first.told("asked", after=turned)), default=turned)
            best = min(best, last - turned)
            first.signal(signal.SIGUSR2)
            back = first.tells("given back", after=turned)["at"]
            first.tells("asked", after=back)
        print(f"the last request came {best * 1000:.0f} ms after the turn, at best of three")
        assert best <= SOON
        assert load.told("failed") == []
