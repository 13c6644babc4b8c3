"""What befalls a fleet, on each backend."""

from __future__ import annotations

import ast
import asyncio
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import serinus.discovery
from serinus.discovery import Discovery
from serinus.discovery.choice import backend_of
from serinus.discovery.records import INSTANCES
from serinus.settings import Settings
from tests.discovery.contract import until
from tests.discovery.scenarios import LATE, LEASE, FleetScenarios, Place, fleet_of, record, took
from tests.discovery.servers import Etcd, Nats

servers = pytest.mark.servers


class FilePlace(Place):
    """A directory, over which something else is laid."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def settings(self) -> dict[str, Any]:
        """Where it is."""
        return {"discovery_backend": "file", "file_kv": str(self.root)}

    def lose(self) -> None:
        """Move it away."""
        self.root.rename(self.root.with_name("away"))
        self.root.touch()

    def bring_back(self) -> None:
        """Move it back."""
        self.root.unlink()
        self.root.with_name("away").rename(self.root)


class EtcdPlace(Place):
    """A cluster."""

    def __init__(self, server: Etcd) -> None:
        self.server = server

    @property
    def settings(self) -> dict[str, Any]:
        """Where it is."""
        return {"discovery_backend": "etcd", "etcd_endpoints": ",".join(self.server.urls)}

    def lose(self) -> None:
        """Kill all nodes."""
        self.server.kill()

    def bring_back(self) -> None:
        """Start them again."""
        self.server.start()


class NatsPlace(Place):
    """A server, which may have forgotten everything when it is back."""

    def __init__(self, server: Nats, *, forgets: bool = False) -> None:
        self.server = server
        self.forgets = forgets

    @property
    def settings(self) -> dict[str, Any]:
        """Where it is."""
        return {"discovery_backend": "nats", "nats_server": self.server.url}

    def lose(self) -> None:
        """Kill it."""
        self.server.kill()
        if self.forgets:
            self.server.forget()

    def bring_back(self) -> None:
        """Start it again."""
        self.server.start()


@contextmanager
def running(server: Etcd | Nats) -> Iterator[None]:
    """Have a server for a while."""
    try:
        server.start()
        yield
    finally:
        server.kill()


@servers
class TestFile(FleetScenarios):
    """Files."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        """Return a directory."""
        return FilePlace(tmp_path / "kv")


@servers
class TestEtcd(FleetScenarios):
    """One node."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[Place]:
        """Return an etcd."""
        server = Etcd(tmp_path)
        with running(server):
            yield EtcdPlace(server)


@servers
class TestThreeNodesOfEtcd(FleetScenarios):
    """Three nodes."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[EtcdPlace]:
        """Return an etcd."""
        server = Etcd(tmp_path, nodes=3)
        with running(server):
            yield EtcdPlace(server)

    async def test_nobody_is_lost_when_the_leader_is_killed(self, place: EtcdPlace) -> None:
        """Two nodes go on; the third comes back. Whoever used it uses another one."""
        async with fleet_of(place) as fleet:
            workers = [await fleet.worker(n, owner=f"w{n}") for n in range(4)]
            await until(lambda: all(fleet.has(n, owner=f"w{n}") for n in range(4)))
            before = dict(fleet.mirror.entries)
            leader = await asyncio.to_thread(place.server.leader)
            await asyncio.to_thread(place.server.nodes[leader].kill)
            await asyncio.sleep(0.5)
            assert await took(lambda: fleet.mirror.age is None, seconds=10) <= 10
            await until(lambda: all(w.says("settled") for w in workers))
            late = await fleet.worker(9, owner="late")
            await until(lambda: fleet.has(9, owner="late"))
            await asyncio.to_thread(place.bring_back)
            await asyncio.sleep(LEASE + LATE)
            assert {k: v for k, v in fleet.mirror.entries.items() if k in before} == before
            assert fleet.gone == set()
            assert late.process.returncode is None


@servers
class TestNats(FleetScenarios):
    """A server that stores on a disk."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[NatsPlace]:
        """Return a NATS."""
        server = Nats(tmp_path)
        with running(server):
            yield NatsPlace(server)

    async def test_a_server_that_forgot_everything_is_told_again(self, place: NatsPlace) -> None:
        """As one that stored in memory."""
        place.forgets = True
        await self.test_nobody_is_lost_or_doubled_when_the_backend_dies_and_comes_back(place)


@servers
@pytest.mark.parametrize("kind", ["etcd", "nats"])
async def test_a_backend_that_is_not_there_yet_is_waited_for(tmp_path: Path, kind: str) -> None:
    """The error has the address; the process goes on, and announces when it can."""
    server = Etcd(tmp_path) if kind == "etcd" else Nats(tmp_path)
    place = EtcdPlace(server) if isinstance(server, Etcd) else NatsPlace(server)
    url = place.settings["etcd_endpoints" if kind == "etcd" else "nats_server"]
    async with fleet_of(place) as fleet:
        worker = await fleet.worker(1, owner="early")
        await until(lambda: url in (worker.says("trouble") or ""))
        assert not worker.says("settled")
        assert url in fleet.discovery.trouble
        assert fleet.mirror.age is not None
        assert not fleet.mirror.complete
        try:
            await asyncio.to_thread(server.start)
            await until(lambda: fleet.has(1, owner="early"))
            await until(lambda: worker.says("trouble") == "")
        finally:
            server.kill()


class Cable:
    """A network namespace that is connected to this one by a cable that can be cut."""

    def __init__(self, number: int) -> None:
        self.name = f"serinus{number}"
        self.inside = ["ip", "netns", "exec", self.name]
        self.host = f"10.213.{number}.1"
        self._end = f"srn{number}"
        self._number = number

    def claim(self) -> str:
        """Make the other network; return why that cannot be done, if so."""
        return _failure(f"ip netns add {self.name}")

    def lay(self) -> str:
        """Connect it; return why that cannot be done, if so."""
        commands = [
            f"ip link add {self._end} type veth peer name eth0 netns {self.name}",
            f"ip addr add {self.host}/24 dev {self._end}",
            f"ip link set {self._end} up",
            f"ip -n {self.name} addr add 10.213.{self._number}.2/24 dev eth0",
            f"ip -n {self.name} link set eth0 up",
            f"ip -n {self.name} link set lo up",
        ]
        return next(filter(None, map(_failure, commands)), "")

    def cut(self) -> None:
        """Let nothing through."""
        subprocess.run(["ip", "link", "set", self._end, "down"], check=True)

    def mend(self) -> None:
        """Let everything through again."""
        subprocess.run(["ip", "link", "set", self._end, "up"], check=True)

    def remove(self) -> None:
        """Remove it."""
        for what in (f"ip link del {self._end}", f"ip netns del {self.name}"):
            _failure(what)  # the one may have taken the other along


def _failure(command: str) -> str:
    """Run a command; return what it says if it fails."""
    ran = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    return f"{command}: {ran.stderr.strip()}" if ran.returncode else ""


@pytest.fixture
def cable() -> Iterator[Cable]:
    """Lay a cable to another network."""
    if shutil.which("ip") is None:
        pytest.skip("there is no program ip to make a network of its own with")
    for number in random.SystemRandom().sample(range(1, 250), 10):
        cable = Cable(number)
        trouble = cable.claim()
        if "File exists" in trouble:
            continue  # another test's
        if not trouble:
            try:
                trouble = cable.lay()
                if not trouble:
                    yield cable
                    return
            finally:
                cable.remove()
        pytest.skip(f"no network of its own can be made here: {trouble}")
    raise RuntimeError("ten networks of other tests, and none is free")


@servers
@pytest.mark.parametrize("kind", ["etcd", "nats"])
async def test_a_worker_that_is_cut_off_goes_on_and_comes_back(
    tmp_path: Path, cable: Cable, kind: str
) -> None:
    """Its lease runs out on the other side; it knows it, and is announced again by itself."""
    server = Etcd(tmp_path, host=cable.host) if kind == "etcd" else Nats(tmp_path, host=cable.host)
    place = EtcdPlace(server) if isinstance(server, Etcd) else NatsPlace(server)
    with running(server):
        async with fleet_of(place) as fleet:
            far = await fleet.worker(1, owner="far", prefix=cable.inside)
            await fleet.worker(2, owner="near")
            await until(lambda: fleet.has(1, owner="far") and fleet.has(2, owner="near"))
            cable.cut()
            assert await took(lambda: fleet.gone) <= LEASE + LATE
            await until(lambda: far.says("trouble"), seconds=LEASE)
            turn = far.says("turn")
            await until(lambda: far.says("turn") >= turn + 40)  # it goes on
            cable.mend()
            await until(lambda: fleet.has(1, owner="far"))
            await until(lambda: far.says("trouble") == "" and far.says("settled"))
            assert fleet.gone == {record(1, "far")[0]}
            assert far.process.returncode is None


@servers
@pytest.mark.parametrize(
    "given",
    [
        {"discovery_backend": "etcd", "etcd_endpoints": "http://127.0.0.1:1"},
        {"discovery_backend": "nats", "nats_server": "nats://127.0.0.1:1"},
        {"discovery_backend": "file", "file_kv": "/dev/null/kv"},
    ],
    ids=lambda given: str(given["discovery_backend"]),
)
async def test_a_wrong_address_costs_nothing_but_a_line(given: dict[str, Any]) -> None:
    """Entering waits for nothing, leaving neither."""
    backend = backend_of(Settings(**given))
    assert backend is not None
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with Discovery(backend, lease=LEASE) as discovery:
        assert loop.time() - began < 0.5
        discovery.announce(INSTANCES + "a/b/c/1", b"1")
        await until(lambda: discovery.trouble.startswith(backend.place), seconds=LEASE + 1)
        left = loop.time()
    assert loop.time() - left < 1


def test_nothing_in_discovery_reads_a_wall_clock() -> None:
    """Hosts' clocks differ: no decision may depend on them."""
    wall = {"time", "time_ns", "now", "utcnow", "today", "gmtime", "localtime"}
    read = [
        f"{path.name}:{node.lineno}: {node.value.id}.{node.attr}"
        for path in Path(next(iter(serinus.discovery.__path__))).glob("*.py")
        if path.name != "kubernetes.py"  # writes it for people, as its API asks; reads none
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in wall
        and isinstance(node.value, ast.Name)
        and node.value.id in {"time", "datetime", "date"}
    ]
    assert read == []
