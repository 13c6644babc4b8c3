"""The backend on NATS, by the suite that all backends have to pass, and what only it can do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats
import nkeys
import pytest
from nats.js import api

from serinus.discovery import Change
from serinus.discovery.choice import backend_of
from serinus.discovery.nats import Login, Nats
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
from tests.discovery.servers import Nats as Server
from tests.discovery.servers import free_ports

pytestmark = pytest.mark.servers


class NatsWorld(World):
    """A server that is kept for the next test."""

    lease = 2.0

    def __init__(self, server: Server) -> None:
        self.server = server

    def client(self) -> Nats:
        """Return a backend of its own, as another process has."""
        return Nats([self.server.url])

    async def fail(self) -> None:
        """Kill it."""
        self.server.kill()

    async def restore(self) -> None:
        """Start it again."""
        await asyncio.to_thread(self.server.start)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server."""
    server = Server(tmp_path_factory.mktemp("nats"))
    yield server
    server.kill()


@pytest.fixture
async def world(server: Server) -> NatsWorld:
    """Return an empty store."""
    await asyncio.to_thread(server.start)
    client = await nats.connect(server.url)
    stream = client.jetstream()
    if any(one.config.name == "KV_serinus" for one in await stream.streams_info()):
        await stream.delete_stream("KV_serinus")
    await client.close()
    return NatsWorld(server)


class TestNats(BackendContract):
    """The suite over NATS."""


async def test_a_renewal_is_no_news(world: NatsWorld) -> None:
    """Whoever watches hears of changes alone."""
    async with kept(world) as session, watched(session, PREFIX) as seen:
        await session.put(KEY, b"1")
        await asyncio.sleep(2)
        assert seen == [Change(KEY, b"1")]


async def test_a_key_keeps_what_nats_gives_a_meaning_to(world: NatsWorld) -> None:
    """Dots, wildcards, spaces and other letters."""
    keys = [PREFIX + rest for rest in ("a.b/c", "*/>/x", "a b/ü/=", "x/y", "a=2Fb/c")]
    async with kept(world) as session, watched(session, PREFIX) as seen:
        for key in keys:
            await session.put(key, key.encode())
        assert set((await session.list(PREFIX)).entries) == set(keys)
        assert set((await session.list(PREFIX + "a.b/")).entries) == {keys[0]}
        await until(lambda: {change.key for change in seen} == set(keys))


async def test_whoever_was_taken_over_learns_it_at_its_next_beat(world: NatsWorld) -> None:
    """It renews no entry of another, and takes none back."""
    async with kept(world) as other, world.client().session(lease=2) as session:
        await session.put(KEY, b"mine")
        keeper = asyncio.create_task(session.keep(), name="keeper")
        await asyncio.sleep(0.2)
        await other.put(KEY, b"other's")
        with pytest.raises(DiscoveryError, match="was removed or taken"):
            await asyncio.wait_for(keeper, 20)
    async with kept(world) as session:
        assert (await session.list(KEY)).entries in ({KEY: b"other's"}, {})


async def test_a_key_that_was_removed_or_ran_out_can_be_created(world: NatsWorld) -> None:
    """The mark of its removal is no entry."""
    async with kept(world) as session:
        assert await session.create(KEY, b"1")
        await session.delete(KEY)
        assert await session.create(KEY, b"2")
        async with world.client().session(lease=1) as dying, watched(session, PREFIX) as seen:
            await dying.put(OTHER, b"1")
            assert not await session.create(OTHER, b"2")
            await until(lambda: Change(OTHER, None) in seen)
            assert await session.create(OTHER, b"2")
        assert (await session.list(PREFIX)).entries == {KEY: b"2", OTHER: b"2"}


async def test_many_entries_are_listed_while_they_are_renewed(world: NatsWorld) -> None:
    """Whole, however they move meanwhile."""
    keys = [f"{PREFIX}demo/backend/generate/{number:x}" for number in range(1500)]
    async with world.client().session(lease=20) as session, kept(world) as reader:
        for start in range(0, len(keys), 100):
            await asyncio.gather(*(session.put(key, b"v") for key in keys[start : start + 100]))

        async def renew() -> None:
            while True:
                for key in keys[::3]:
                    await session.put(key, b"v")

        renewing = asyncio.create_task(renew(), name="renewing")
        for _ in range(3):
            assert (await reader.list(PREFIX)).entries == dict.fromkeys(keys, b"v")
        renewing.cancel()


async def test_a_server_that_does_not_answer_ends_the_session_in_time(world: NatsWorld) -> None:
    """Its connection stays open, and nothing comes."""
    async with world.client().session(lease=2) as session:
        await session.put(KEY, b"1")
        began = time.monotonic()
        world.server.node.freeze()
        try:
            with pytest.raises(DiscoveryError, match="gave no answer"):
                await session.keep()
            assert time.monotonic() - began <= 4, (
                "in the time of a lease, and what a busy machine adds"
            )
            with pytest.raises(DiscoveryError, match="gave no answer"):
                async with world.client().session(lease=1):
                    raise AssertionError("connected to nothing")
        finally:
            world.server.node.thaw()


async def test_a_watch_whose_consumer_is_gone_says_so(world: NatsWorld) -> None:
    """A quiet watch asks from time to time whether anybody would tell."""
    async with kept(world) as session:
        listing = await session.list(PREFIX)

        async def follow() -> None:
            async for _ in session.watch(PREFIX, listing):
                raise AssertionError("nothing changed")

        following = asyncio.create_task(follow(), name="follower")
        client = await nats.connect(world.server.url)
        stream = client.jetstream()
        consumers: list[api.ConsumerInfo] = []
        while not consumers:
            await asyncio.sleep(0.05)
            consumers = await stream.consumers_info("KV_serinus")
        for consumer in consumers:
            await stream.delete_consumer("KV_serinus", consumer.name)
        await client.close()
        with pytest.raises(DiscoveryError, match="consumer not found"):
            await asyncio.wait_for(following, 20)


async def test_a_server_that_is_away_is_passed_over(world: NatsWorld) -> None:
    """The next one is asked, within the time of a lease."""
    (port,) = free_ports(1)
    async with Nats([f"nats://127.0.0.1:{port}", world.server.url]).session(lease=2) as session:
        await session.put(KEY, b"1")
    with pytest.raises(DiscoveryError, match=rf"nats://127.0.0.1:{port}: .*refused|Connect call"):
        async with Nats([f"nats://127.0.0.1:{port}"]).session(lease=1):
            raise AssertionError("connected to nothing")


async def test_without_jetstream_it_says_what_is_missing(tmp_path: Path) -> None:
    """It is no store then."""
    server = Server(tmp_path, jetstream=False)
    await asyncio.to_thread(server.start)
    try:
        with pytest.raises(DiscoveryError, match="JetStream is not enabled"):
            async with Nats([server.url]).session(lease=2):
                raise AssertionError("stored nowhere")
    finally:
        server.kill()


async def test_an_old_server_is_named_with_what_is_needed() -> None:
    """A server that greets as NATS 2.9 does."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"version":"2.9.25","headers":true,"max_payload":1048576}\r\n')
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(DiscoveryError, match=r"is NATS 2\.9, and 2\.11 or newer is needed"):
            async with Nats([url]).session(lease=2):
                raise AssertionError("used what cannot tell")


async def test_a_stream_that_was_made_otherwise_is_refused(world: NatsWorld) -> None:
    """What ran out would be told to nobody."""
    client = await nats.connect(world.server.url)
    await client.jetstream().add_stream(
        api.StreamConfig(name="KV_serinus", subjects=["$KV.serinus.>"])
    )
    await client.close()
    with pytest.raises(DiscoveryError, match="allow_msg_ttl"):
        async with world.client().session(lease=2):
            raise AssertionError("used what cannot tell")


def _nkey(directory: Path) -> tuple[str, list[str]]:
    pair = nkeys.from_seed(nkeys.encode_seed(b"0" * 32, nkeys.PREFIX_BYTE_USER))
    config = directory / "nkey.conf"
    config.write_text(f"authorization {{ users = [ {{ nkey: {pair.public_key.decode()} }} ] }}")
    return pair.seed.decode(), ["--config", str(config)]


@pytest.mark.parametrize("kind", ["user", "token", "nkey"])
async def test_who_we_are_is_asked_for(tmp_path: Path, kind: str) -> None:
    """User and password, a token, an NKey; a wrong one is named without being repeated."""
    seed, nkey = _nkey(tmp_path)
    ways: dict[str, tuple[list[str], dict[str, Any]]] = {
        "user": (
            ["--user", "me", "--pass", "swordfish"],
            {"nats_auth_username": "me", "nats_auth_password": "swordfish"},
        ),
        "token": (["--auth", "swordfish"], {"nats_auth_token": "swordfish"}),
        "nkey": (nkey, {"nats_auth_nkey": seed}),
    }
    options, given = ways[kind]
    server = Server(tmp_path, options=options)
    await asyncio.to_thread(server.start)
    said: dict[str, Any] = {"discovery_backend": "nats", "nats_server": server.url}
    try:
        backend = backend_of(Settings(**said, **given))
        assert backend is not None
        async with backend.session(lease=2) as session:
            await session.put(KEY, b"1")
        for wrong in (Settings(**said), Settings(**said, nats_auth_token="trout")):
            backend = backend_of(wrong)
            assert backend is not None
            with pytest.raises(DiscoveryError, match=r"(?i)authorization violation|nkeys") as error:
                async with backend.session(lease=2):
                    raise AssertionError("connected as a stranger")
            assert "trout" not in str(error.value)
    finally:
        server.kill()


async def test_a_user_without_a_password_is_refused() -> None:
    """Before anything is connected to."""
    with pytest.raises(SettingsError, match="NATS_AUTH_PASSWORD are set together"):
        backend_of(Settings(discovery_backend="nats", nats_auth_username="me"))


def test_the_first_login_that_is_given_counts() -> None:
    """As in the reference; and its secrets are shown nowhere."""
    assert Login("u", "p", "t", "n", "c").options() == {"user": "u", "password": "p"}
    assert Login(None, None, "t", "n", "c").options() == {"token": "t"}
    assert Login(nkey="n", credentials_file="c").options() == {"nkeys_seed_str": "n"}
    assert Login(credentials_file="c").options() == {"user_credentials": "c"}
    assert "secret" not in repr(Login("u", "secret", "secret", "secret"))
