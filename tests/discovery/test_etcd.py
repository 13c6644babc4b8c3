"""The backend on etcd, by the suite that all backends have to pass: one node, and three."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import aiohttp
import pytest
import trustme

from serinus.discovery import Change
from serinus.discovery.choice import backend_of
from serinus.discovery.etcd import Etcd, Identity
from serinus.errors import DiscoveryError, SettingsError
from serinus.settings import Settings
from tests.discovery.contract import (
    KEY,
    OTHER,
    PREFIX,
    BackendContract,
    World,
    kept,
    until,
    watched,
)
from tests.discovery.servers import Etcd as Server
from tests.discovery.servers import free_ports

pytestmark = pytest.mark.servers


class EtcdWorld(World):
    """A cluster that is kept for the next test."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def client(self) -> Etcd:
        """Return a backend of its own, as another process has."""
        return Etcd(self.server.urls)

    async def fail(self) -> None:
        """Kill all nodes."""
        self.server.kill()

    async def restore(self) -> None:
        """Start them again."""
        await asyncio.to_thread(self.server.start)

    async def call(self, method: str, **said: object) -> dict[str, object]:
        """Ask etcd something beside the backend."""
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{self.server.urls[0]}/v3/{method}", json=said) as response,
        ):
            answer: dict[str, object] = await response.json()
            return answer


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start one node."""
    server = Server(tmp_path_factory.mktemp("etcd"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start three nodes."""
    server = Server(tmp_path_factory.mktemp("etcd"), nodes=3)
    yield server
    server.kill()


async def emptied(server: Server) -> AsyncIterator[EtcdWorld]:
    """Start what does not run, and forget what was stored."""
    await asyncio.to_thread(server.start)
    world = EtcdWorld(server)
    await world.call("kv/deleterange", key="AA==", range_end="AA==")  # everything
    yield world


class TestOneNode(BackendContract):
    """The suite over one node."""

    @pytest.fixture
    async def world(self, one: Server) -> AsyncIterator[EtcdWorld]:
        """Return an empty etcd."""
        async for world in emptied(one):
            yield world


class TestThreeNodes(BackendContract):
    """The suite over three nodes."""

    @pytest.fixture
    async def world(self, three: Server) -> AsyncIterator[EtcdWorld]:
        """Return an empty etcd."""
        async for world in emptied(three):
            yield world


@pytest.fixture
async def world(one: Server) -> AsyncIterator[EtcdWorld]:
    """Return an empty etcd of one node."""
    async for world in emptied(one):
        yield world


async def test_a_watch_that_would_begin_in_what_was_compacted_says_so(world: EtcdWorld) -> None:
    """Changes may have been missed: list again."""
    async with kept(world) as session:
        listing = await session.list(PREFIX)
        await session.put(KEY, b"1")
        await session.put(KEY, b"2")
        revision = (await session.list(PREFIX)).mark
        await world.call("kv/compaction", revision=revision)
        with pytest.raises(DiscoveryError, match="compacted"):
            async with asyncio.timeout(20), aclosing(session.watch(PREFIX, listing)) as changes:  # type: ignore[type-var]
                await anext(changes)


async def test_a_key_that_is_no_text_is_passed_on_for_others_to_name(world: EtcdWorld) -> None:
    """Listed and watched, with what is no text escaped; others of the prefix are as they were."""
    raw = b64encode(f"{PREFIX}a".encode() + b"\xff").decode()
    shown = f"{PREFIX}a\\xff"
    async with kept(world) as session:
        await world.call("kv/put", key=raw, value="MQ==")
        await session.put(KEY, b"1")
        assert (await session.list(PREFIX)).entries == {shown: b"1", KEY: b"1"}
        async with watched(session, PREFIX) as seen:
            await world.call("kv/deleterange", key=raw)
            await world.call("kv/put", key=raw, value="Mg==")
            await until(lambda: len(seen) == 2)
        assert seen == [Change(shown, None), Change(shown, b"2")]


async def test_a_watch_goes_on_when_what_it_has_seen_is_compacted(world: EtcdWorld) -> None:
    """Compaction is no trouble for whoever follows."""
    async with kept(world) as session, watched(session, PREFIX) as seen:
        for number in range(3):
            await session.put(KEY, b"%d" % number)
            await until(lambda number=number: Change(KEY, b"%d" % number) in seen)  # type: ignore[misc]
            revision = (await session.list(PREFIX)).mark
            await world.call("kv/compaction", revision=revision)


async def test_many_entries_come_in_pages_of_one_moment(world: EtcdWorld) -> None:
    """More than one page, all of the same revision, none twice, none left out."""
    keys = [f"{PREFIX}demo/backend/generate/{number:x}" for number in range(2345)]
    async with world.client().session(lease=60) as session:
        for start in range(0, len(keys), 100):
            await asyncio.gather(*(session.put(key, b"v") for key in keys[start : start + 100]))
        assert (await session.list(PREFIX)).entries == dict.fromkeys(keys, b"v")


async def test_a_session_whose_lease_ran_out_says_so(world: EtcdWorld) -> None:
    """Whether it renews or stores."""
    async with world.client().session(lease=2) as session:
        await session.put(KEY, b"1")
        async with kept(world) as other, watched(other, PREFIX) as seen:
            await until(lambda: Change(KEY, None) in seen)
        with pytest.raises(DiscoveryError, match="lease not found"):
            await session.put(KEY, b"1")
        with pytest.raises(DiscoveryError, match="the lease ran out"):
            await session.keep()


async def test_an_etcd_that_does_not_answer_ends_the_session_in_time(world: EtcdWorld) -> None:
    """Its connections stay open, and nothing comes: known before the lease can have run out."""
    async with world.client().session(lease=6) as session:
        await session.put(KEY, b"1")
        began = time.monotonic()
        world.server.nodes[0].freeze()
        try:
            with pytest.raises(DiscoveryError, match="gave no answer"):
                await session.keep()
            assert time.monotonic() - began <= 6
            with pytest.raises(DiscoveryError, match="gave no answer"):
                async with world.client().session(lease=1):
                    raise AssertionError("connected to nothing")
        finally:
            world.server.nodes[0].thaw()


async def test_an_endpoint_that_is_away_is_passed_over(world: EtcdWorld) -> None:
    """Refused or silent, the next one is asked, within the time of a lease."""
    (port,) = free_ports(1)
    backend = Etcd([f"http://127.0.0.1:{port}", *world.server.urls])
    async with backend.session(lease=3) as session:
        await session.put(KEY, b"1")
    with pytest.raises(DiscoveryError) as error:
        async with Etcd([f"http://127.0.0.1:{port}", "http://no.such.host.invalid:1"]).session(
            lease=1
        ):
            raise AssertionError("connected to nothing")
    assert f"http://127.0.0.1:{port}: " in str(error.value)
    assert "no.such.host.invalid" in str(error.value)


async def test_what_is_no_etcd_is_said_to_be_none() -> None:
    """Something that answers HTTP, and something that does not."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nnot found")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(DiscoveryError, match=r"is no etcd 3.4 or newer: HTTP 404 .* not found"):
            async with Etcd([url]).session(lease=1):
                raise AssertionError("connected to something else")


async def test_a_user_has_to_be_the_right_one(tmp_path: Path) -> None:
    """User and password are sent; a wrong one is named without being repeated."""
    server = Server(tmp_path)
    await asyncio.to_thread(server.start)
    try:
        world = EtcdWorld(server)
        await world.call("auth/user/add", name="root", password="swordfish")
        await world.call("auth/user/grant", user="root", role="root")
        await world.call("auth/enable")
        right = Etcd(server.urls, Identity("root", "swordfish"))
        async with right.session(lease=2) as session, watched(session, PREFIX) as seen:
            keeper = asyncio.create_task(session.keep(), name="keeper")
            await session.put(KEY, b"1")
            await until(lambda: Change(KEY, b"1") in seen)
            assert await session.create(OTHER, b"2")
            await asyncio.sleep(3)
            assert set((await session.list(PREFIX)).entries) == {KEY, OTHER}
            keeper.cancel()
        for identity in (Identity("root", "trout"), Identity()):
            with pytest.raises(
                DiscoveryError, match=r"authentication failed|user name is empty"
            ) as e:
                async with Etcd(server.urls, identity).session(lease=2) as session:
                    await session.put(KEY, b"1")
            assert "trout" not in str(e.value)
    finally:
        server.kill()


async def test_certificates_are_asked_for_on_both_sides(tmp_path: Path) -> None:
    """TLS, and a client's certificate; without one, or with a stranger's, it is refused."""
    ca, stranger = trustme.CA(), trustme.CA()
    for name, authority in (("ca", ca), ("stranger", stranger)):
        authority.cert_pem.write_to_path(str(tmp_path / f"{name}.pem"))
    for name in ("server", "client"):
        issued = ca.issue_cert("127.0.0.1", "localhost")
        issued.cert_chain_pems[0].write_to_path(str(tmp_path / f"{name}.pem"))
        issued.private_key_pem.write_to_path(str(tmp_path / f"{name}.key"))
    options = [
        "--cert-file",
        "server.pem",
        "--key-file",
        "server.key",
        "--trusted-ca-file",
        "ca.pem",
    ]
    options = [str(tmp_path / one) if "." in one else one for one in options]
    server = Server(tmp_path, options=[*options, "--client-cert-auth"], scheme="https")
    await asyncio.to_thread(server.start)
    said = {"discovery_backend": "etcd", "etcd_endpoints": server.urls[0]}
    files = {
        "etcd_auth_ca": str(tmp_path / "ca.pem"),
        "etcd_auth_client_cert": str(tmp_path / "client.pem"),
        "etcd_auth_client_key": str(tmp_path / "client.key"),
    }
    try:
        backend = backend_of(Settings(**said, **files))  # type: ignore[arg-type]
        assert backend is not None
        async with backend.session(lease=2) as session, watched(session, PREFIX) as seen:
            await session.put(KEY, b"1")
            await until(lambda: Change(KEY, b"1") in seen)
        for changed in (
            {"etcd_auth_client_cert": None, "etcd_auth_client_key": None},
            {"etcd_auth_ca": str(tmp_path / "stranger.pem")},
        ):
            backend = backend_of(Settings(**said, **(files | changed)))  # type: ignore[arg-type]
            assert backend is not None
            with pytest.raises(DiscoveryError, match=r"(?i)certificate|ssl|reset|disconnected"):
                async with backend.session(lease=2):
                    raise AssertionError("connected without being known")
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"etcd_auth_username": "a"}, "ETCD_AUTH_USERNAME is set, and ETCD_AUTH_PASSWORD is not"),
        ({"etcd_auth_password": "a"}, "ETCD_AUTH_PASSWORD is set, and ETCD_AUTH_USERNAME is not"),
        ({"etcd_auth_client_key": "a"}, "_CLIENT_KEY is set, and ETCD_AUTH_CLIENT_CERT is not"),
        ({"etcd_auth_ca": "/no/such"}, "http://localhost:2379 is no https address"),
        (
            {"etcd_endpoints": "https://a", "etcd_auth_ca": "/no/such"},
            r"etcd's certificates \(/no/such\): .*No such file",
        ),
    ],
)
async def test_settings_that_do_not_fit_together_are_refused(
    given: dict[str, str], told: str
) -> None:
    """Before anything is connected to."""
    with pytest.raises(SettingsError, match=told):
        backend_of(Settings(discovery_backend="etcd", **given))  # type: ignore[arg-type]
