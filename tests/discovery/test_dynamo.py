"""Dynamo's released wheel over the same backend, in both directions: files, and etcd."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from serinus.discovery.records import decode
from tests.discovery.contract import until
from tests.discovery.scenarios import LATE, LEASE, Place, Worker, fleet_of, started, took
from tests.discovery.servers import Etcd
from tests.discovery.test_scenarios import EtcdPlace, FilePlace, running

DYNAMO = Path(os.environ.get("DYNAMO_DIR", "~/.cache/serinus/dynamo")).expanduser()
LEASES = {"file": 10.0, "etcd": 30.0}
"""Seconds that Dynamo's own entries outlive its death, as it stores them."""

pytestmark = [pytest.mark.dynamo, pytest.mark.servers]


@pytest.fixture(params=["file", "etcd"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Return a backend that both know."""
    if request.param == "file":
        yield FilePlace(tmp_path / "kv")
        return
    server = Etcd(tmp_path)
    with running(server):
        yield EtcdPlace(server)


@asynccontextmanager
async def dynamo(what: str, place: Place) -> AsyncIterator[Worker]:
    """Run a process of Dynamo's."""
    settings = place.settings
    environ = {"DYN_LOG": "error"}
    for name in ("file_kv", "etcd_endpoints"):
        if name in settings:
            environ[{"file_kv": "DYN_FILE_KV"}.get(name, name.upper())] = settings[name]
    process = await asyncio.create_subprocess_exec(
        DYNAMO / "bin" / "python",
        Path(__file__).with_name("dynamo_process.py"),
        what,
        settings["discovery_backend"],
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | environ,
    )
    worker = Worker(process)
    reader = asyncio.create_task(worker.read(), name=f"Dynamo: {what}")
    try:
        yield worker
    finally:
        if process.returncode is None:
            worker.kill()
        await process.wait()
        await reader


async def test_ours_lists_its_worker_and_loses_it(place: Place) -> None:
    """With the fields that it wrote; gone with its own lease after kill -9."""
    async with fleet_of(place) as fleet, dynamo("serve", place) as worker:
        await until(lambda: fleet.mirror.entries, seconds=60)
        ((key, value),) = fleet.mirror.entries.items()
        instance = decode(key, value)
        assert str(instance.address) == "demo.backend.generate"
        assert key.endswith(f"/{instance.instance_id:x}")
        assert set(instance.transport) == {"tcp"}
        assert instance.status is None
        await asyncio.sleep(12)  # it is kept for as long as it lives
        assert dict(fleet.mirror.entries) == {key: value}
        worker.kill()
        lasted = await took(lambda: not fleet.mirror.entries, seconds=60)
        kind = place.settings["discovery_backend"]
        print(f"{kind}: gone {lasted:.1f} s after kill -9 of Dynamo's worker")
        assert lasted <= LEASES[kind] + 2


async def test_its_client_lists_ours_and_loses_it(place: Place) -> None:
    """And keeps what goes on; a killed one is gone in our lease, whoever removes it."""
    async with fleet_of(place) as fleet, dynamo("watch", place) as watcher:
        kind = place.settings["discovery_backend"]
        await fleet.worker(8, owner="stays", tcp=True)
        killed = await fleet.worker(7, owner="killed", tcp=True)
        await until(lambda: watcher.says("ids") == [7, 8], seconds=60)
        await asyncio.sleep(12)  # longer than Dynamo lets a file lie untouched
        assert watcher.says("ids") == [7, 8]
        killed.kill()
        lasted = await took(lambda: watcher.says("ids") == [8])
        print(f"{kind}: gone from Dynamo's list {lasted:.1f} s after kill -9 of ours")
        assert lasted <= LEASE + LATE


async def test_its_client_loses_ours_where_it_is_alone(tmp_path: Path) -> None:
    """With nobody of ours who watches, it removes what nobody touches for its ten seconds."""
    place = FilePlace(tmp_path / "kv")
    async with AsyncExitStack() as opened, dynamo("watch", place) as watcher:
        worker = await started(opened, place, 7, owner="killed", tcp=True)
        await until(lambda: watcher.says("ids") == [7], seconds=60)
        worker.kill()
        lasted = await took(lambda: watcher.says("ids") == [])
        print(f"file: gone from Dynamo's list {lasted:.1f} s after kill -9, by itself")
        assert lasted <= 10 + 10 / 3 + 2
