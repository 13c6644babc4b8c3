"""The backend on NATS, 2.11 or newer, with JetStream: a key-value bucket whose messages have a TTL.

Every entry is one message that lasts as long as the lease and is stored again and again to keep
it; the server tells watchers when it ran out. Each renewal names the message that it renews, so
that whoever was taken over learns it at once. The reference has no discovery on NATS: the layout is
ours, the records are the same.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from serinus.discovery.foreign import Foreign
from serinus.discovery.port import Change, Listing
from serinus.errors import DiscoveryError, MissingExtraError, SettingsError, excerpt

try:
    import nats.errors
    import nats.js.errors
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext, api
except ImportError as failure:
    raise MissingExtraError(what="Discovery by NATS", extra="nats") from failure

if TYPE_CHECKING:
    from serinus.settings import Settings

__all__ = ["Login", "Nats", "from_settings"]

BUCKET = "serinus"
"""The bucket; one that was made beforehand, such as with replicas, is used as it is."""
_STREAM = f"KV_{BUCKET}"
_ROOT = f"$KV.{BUCKET}."
_OLDEST = (2, 11)
"""The first server with a TTL for each message, and with markers of what ran out."""
_MARKER = 60
"""Seconds that the mark of a removal lasts: longer than from any listing to its watch."""
_BEATS = 3
"""Renewals in the time of a lease."""
_AT_ONCE = 64
"""Renewals in flight."""
_RENEWAL = "Serinus-Renewal"
"""The header of a message that only renews: watchers pass over it where they know the value."""
_TAKEN = 10071
"""NATS' code for: the message is not the one that was named."""
_WAITING = 2**18
"""Messages that may wait for a watcher: one that is further behind has to list again."""

Result = TypeVar("Result")


def from_settings(settings: Settings) -> Nats:
    """Return the backend at the servers that the settings name."""
    if bool(settings.nats_auth_username) != bool(settings.nats_auth_password):
        raise SettingsError("NATS_AUTH_USERNAME and NATS_AUTH_PASSWORD are set together or not")
    login = Login(
        settings.nats_auth_username,
        settings.nats_auth_password,
        settings.nats_auth_token,
        settings.nats_auth_nkey,
        settings.nats_auth_credentials_file,
    )
    return Nats(settings.nats_server.split(","), login)


class Login(NamedTuple):
    """Who we are for NATS: the first that is given counts, as in the reference."""

    username: str | None = None
    password: str | None = None
    token: str | None = None
    nkey: str | None = None
    credentials_file: str | None = None

    def __repr__(self) -> str:
        """Show no secret."""
        return f"Login({self.username!r})"

    def options(self) -> dict[str, str]:
        """Return what the client is told."""
        if self.username:
            return {"user": self.username, "password": self.password or ""}
        if self.token:
            return {"token": self.token}
        if self.nkey:
            return {"nkeys_seed_str": self.nkey}
        if self.credentials_file:
            return {"user_credentials": self.credentials_file}
        return {}


class Nats:
    """One server, or a cluster of them."""

    def __init__(self, servers: list[str], login: Login | None = None) -> None:
        self.place = f"NATS at {', '.join(servers)}"
        self.foreign = Foreign()
        self._servers = servers
        self._login = login or Login()
        self._turn = 0

    @asynccontextmanager
    async def session(self, *, lease: float) -> AsyncIterator[_Session]:
        """Connect to the first server that answers; see `Backend`."""
        line = await self._connected(lease)
        try:
            session = _Session(line, lease)
            yield session
            with suppress(DiscoveryError, TimeoutError):
                async with asyncio.timeout(lease):
                    await session.take_back()
        except BaseException:
            self._turn += 1
            raise
        finally:
            await line.hang_up()

    async def _connected(self, lease: float) -> _Line:
        troubles = []
        for _ in self._servers:
            server = self._servers[self._turn % len(self._servers)]
            line = _Line(self.place, server, within=lease / len(self._servers))
            try:
                async with asyncio.timeout(line.within):
                    await line.call(self._login)
            except TimeoutError:
                troubles.append(f"{server} gave no answer for {line.within:.1f} s")
            except DiscoveryError as error:
                troubles.append(str(error).removeprefix(f"{self.place}: "))
            except BaseException:
                await line.hang_up()
                raise
            else:
                line.within = lease
                return line
            await line.hang_up()
            self._turn += 1
        raise DiscoveryError(f"{self.place}: {'; '.join(troubles)}")


class _Line:
    """One connection. It is not repaired: once it is lost, every call fails."""

    def __init__(self, place: str, server: str, *, within: float) -> None:
        self.place = place
        self.within = within
        """Seconds that a call may take."""
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the connection is lost or closed."""
        self._server = server
        self._client = Client()
        self._said = ""

    @property
    def stream(self) -> JetStreamContext:
        """What stores messages."""
        return self._client.jetstream(timeout=self.within)

    async def call(self, login: Login) -> None:
        """Connect, and see to it that there is a bucket."""
        try:
            await self._client.connect(
                self._server,
                error_cb=self._hear,
                closed_cb=self._end,
                name="serinus",
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=math.ceil(self.within),
                **login.options(),  # type: ignore[arg-type]
            )
        except (nats.errors.Error, OSError, ValueError) as error:
            raise self._failed(self._said or error) from error
        version = self._client.connected_server_version
        if (version.major, version.minor) < _OLDEST:
            raise self._failed(
                f"is NATS {version.major}.{version.minor}, and 2.11 or newer is needed: "
                "older ones tell nobody when an entry ran out"
            )
        config = await self.ask(self._bucket())
        if not config.allow_msg_ttl or not config.subject_delete_marker_ttl:
            raise self._failed(
                f"the stream {_STREAM} was made without a TTL for each message (allow_msg_ttl) or "
                "without markers of what ran out (subject_delete_marker_ttl)"
            )

    async def ask(self, work: Awaitable[Result]) -> Result:
        """Wait for an answer, no longer than the line is there and the time allows."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait(
                (task, self.lost), timeout=self.within, return_when=asyncio.FIRST_COMPLETED
            )
            if not task.done():
                silent = f"gave no answer for {self.within:.1f} s"
                raise self._failed(self._said or "hung up" if self.lost.done() else silent)
            return task.result()
        except nats.js.errors.ServiceUnavailableError as error:
            raise self._failed("JetStream is not enabled, or not there now") from error
        except nats.js.errors.NoStreamResponseError as error:
            raise self._failed(f"there is no stream {_STREAM} (any more)") from error
        except nats.js.errors.APIError as error:
            if error.err_code == _TAKEN:
                raise _TakenError(f"{self.place}: an entry was removed or taken") from error
            raise self._failed(error.description or error) from error
        except (nats.errors.Error, OSError) as error:
            raise self._failed(error) from error
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def hang_up(self) -> None:
        """Close the connection."""
        with suppress(nats.errors.Error, OSError, TimeoutError):
            async with asyncio.timeout(self.within):
                await self._client.close()

    async def _bucket(self) -> api.StreamConfig:
        stream = self.stream
        try:
            return (await stream.stream_info(_STREAM)).config
        except nats.js.errors.NotFoundError:
            wanted = api.StreamConfig(
                name=_STREAM,
                description="who is there: kept by serinus",
                subjects=[f"{_ROOT}>"],
                max_msgs_per_subject=1,
                discard=api.DiscardPolicy.NEW,
                storage=api.StorageType.FILE,
                allow_rollup_hdrs=True,
                allow_direct=True,
                allow_msg_ttl=True,
                deny_delete=True,
                subject_delete_marker_ttl=_MARKER,
            )
            return (await stream.add_stream(wanted)).config

    async def _hear(self, error: Exception) -> None:
        self._said = excerpt(error) or repr(error)

    async def _end(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    def _failed(self, why: object) -> DiscoveryError:
        return DiscoveryError(f"{self.place}: {self._server}: {excerpt(why) or repr(why)}")


class _TakenError(DiscoveryError):
    """The entry is not the one that was named."""


class _Own:
    """An entry of this session, and the number of its message."""

    def __init__(self, value: bytes, number: int) -> None:
        self.value = value
        self.number = number
        self.lock = asyncio.Lock()


class _Session:
    """See `port.Session`."""

    def __init__(self, line: _Line, lease: float) -> None:
        self._line = line
        self._lease = lease
        self._ttl = f"{math.ceil(lease)}s"  # NATS counts in whole seconds
        self._own: dict[str, _Own] = {}

    async def put(self, key: str, value: bytes) -> None:
        own = self._own.get(key)
        if own is None:
            self._own[key] = _Own(value, await self._store(key, value))
            return
        async with own.lock:
            own.number = await self._store(key, value)
            own.value = value

    async def create(self, key: str, value: bytes) -> bool:
        after = 0
        for _ in range(3):
            with suppress(_TakenError):
                self._own[key] = _Own(value, await self._store(key, value, after=after))
                return True
            last = await self._last(_ROOT + _subject(key))
            if last is not None and not _is_removal(last.headers):
                return False
            after = 0 if last is None else last.seq or 0
        return False

    async def delete(self, key: str) -> None:
        own = self._own.pop(key, None)
        if own is None:
            await self._remove(key)
            return
        async with own.lock:  # a renewal that is under way would bring it back
            await self._remove(key)

    async def list(self, prefix: str) -> Listing:
        # A bucket has the last message of each key alone. One that is renewed while it is read
        # moves to the end: whoever is at the end has seen them all.
        began = (await self._line.ask(self._line.stream.stream_info(_STREAM))).state.last_seq
        entries: dict[str, bytes] = {}
        start = api.ConsumerConfig(deliver_policy=api.DeliverPolicy.ALL)
        async with self._messages(prefix, start) as messages:
            mark, end = 0, None
            while True:
                if not messages.left:
                    end = await self._end_of(prefix) if end is None else end
                    if mark >= end:
                        break
                message = await messages.next(patient=False)
                mark = message.metadata.sequence.stream
                key = _key(message.subject)
                if _is_removal(message.headers):
                    entries.pop(key, None)
                elif key.startswith(prefix):
                    entries[key] = message.data
        return Listing(entries, mark=max(began, mark))

    async def watch(self, prefix: str, since: Listing) -> AsyncIterator[Change]:
        if not isinstance(since.mark, int):
            raise TypeError("the listing is of another backend")
        known = dict(since.entries)
        start = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=since.mark + 1
        )
        async with self._messages(prefix, start) as messages:
            while True:
                message = await messages.next()
                key = _key(message.subject)
                value = None if _is_removal(message.headers) else message.data
                renewal = value is None or _RENEWAL in (message.headers or ())
                if not key.startswith(prefix) or (renewal and known.get(key) == value):
                    continue
                if value is None:
                    del known[key]
                else:
                    known[key] = value
                yield Change(key, value)

    async def keep(self) -> None:
        beat = self._lease / _BEATS
        free = asyncio.Semaphore(_AT_ONCE)
        while True:
            began = time.monotonic()
            await asyncio.gather(*(self._renew(free, key) for key in tuple(self._own)))
            if not self._own:  # nothing to lose, but to know that the line is there
                await self._line.ask(self._line.stream.stream_info(_STREAM))
            took = time.monotonic() - began
            if took > self._lease:
                raise DiscoveryError(f"{self._line.place}: renewing took {took:.1f} s")
            await asyncio.sleep(max(beat - took, 0.0))

    async def take_back(self) -> None:
        """Remove what this session stored and nobody else has taken."""
        free = asyncio.Semaphore(_AT_ONCE)

        async def remove(key: str, own: _Own) -> None:
            async with free, own.lock:
                with suppress(_TakenError):
                    await self._remove(key, after=own.number)

        await asyncio.gather(*(remove(key, own) for key, own in self._own.items()))

    async def _renew(self, free: asyncio.Semaphore, key: str) -> None:
        own = self._own.get(key)
        if own is None:
            return  # withdrawn since this round began
        async with free, own.lock:
            if self._own.get(key) is own:
                said = {"Nats-TTL": self._ttl, _RENEWAL: "1"}
                own.number = await self._publish(key, own.value, said, own.number)

    async def _store(self, key: str, value: bytes, *, after: int | None = None) -> int:
        return await self._publish(key, value, {"Nats-TTL": self._ttl}, after)

    async def _remove(self, key: str, *, after: int | None = None) -> None:
        said = {"KV-Operation": "PURGE", "Nats-Rollup": "sub", "Nats-TTL": f"{_MARKER}s"}
        await self._publish(key, b"", said, after)

    async def _publish(
        self, key: str, value: bytes, said: dict[str, str], after: int | None
    ) -> int:
        """Store a message; `after` names the one that has to be the last of its key, 0 none."""
        if after is not None:
            said["Nats-Expected-Last-Subject-Sequence"] = str(after)
        stored = self._line.stream.publish(_ROOT + _subject(key), value, headers=said)
        return (await self._line.ask(stored)).seq

    async def _last(self, subject: str) -> api.RawStreamMsg | None:
        stream = self._line.stream
        try:
            return await self._line.ask(stream.get_last_msg(_STREAM, subject))
        except DiscoveryError as error:
            if isinstance(error.__cause__, nats.js.errors.NotFoundError):
                return None
            raise

    async def _end_of(self, prefix: str) -> int:
        """Return the number of the last message under a prefix."""
        last = await self._last(_all(prefix))
        return 0 if last is None else last.seq or 0

    @asynccontextmanager
    async def _messages(self, prefix: str, start: api.ConsumerConfig) -> AsyncIterator[_Messages]:
        """Receive the messages of a prefix."""
        start.ack_policy = api.AckPolicy.NONE
        start.mem_storage = True
        messages = _Messages(self._line)
        subscription = await self._line.ask(
            self._line.stream.subscribe(
                _all(prefix),
                cb=messages.take,
                config=start,
                manual_ack=True,
                pending_msgs_limit=_WAITING,
                pending_bytes_limit=-1,
            )
        )
        try:
            messages.begin(await self._line.ask(subscription.consumer_info()), subscription)
            yield messages
        finally:
            with suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()


class _Messages:
    """The messages of one consumer, none left out."""

    def __init__(self, line: _Line) -> None:
        self.left = 0
        """Messages that are still to come of those that were there when it began."""
        self._line = line
        self._queue: asyncio.Queue[Msg] = asyncio.Queue()
        self._came = asyncio.Event()
        self._count = 0
        self._subscription: JetStreamContext.PushSubscription | None = None

    async def take(self, message: Msg) -> None:
        """Receive one."""
        self._queue.put_nowait(message)
        self._came.set()

    def begin(
        self, info: api.ConsumerInfo, subscription: JetStreamContext.PushSubscription
    ) -> None:
        """Learn how many are to come at once."""
        delivered = info.delivered.consumer_seq if info.delivered else 0
        self.left = (info.num_pending or 0) + delivered
        self._subscription = subscription

    async def next(self, *, patient: bool = True) -> Msg:
        """Wait for the next message. Raises DiscoveryError if one was left out."""
        while self._queue.empty() and not await self._wait():
            if not patient:
                raise DiscoveryError(f"{self._line.place}: a listing did not end")
            # Is it quiet, or is nobody there any more who would tell?
            assert self._subscription is not None
            await self._line.ask(self._subscription.consumer_info())
        message = self._queue.get_nowait()
        self._count += 1
        if message.metadata.sequence.consumer != self._count:
            raise DiscoveryError(f"{self._line.place}: messages were left out; list again")
        self.left = message.metadata.num_pending or 0
        return message

    async def _wait(self) -> bool:
        """Wait for a while, as long as the line is there; say whether there is a message."""
        self._came.clear()
        came = asyncio.ensure_future(self._came.wait())
        try:
            await asyncio.wait(
                (came, self._line.lost),
                timeout=self._line.within,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            came.cancel()
        if self._queue.empty() and self._line.lost.done():
            raise DiscoveryError(f"{self._line.place}: the connection was lost")
        return not self._queue.empty()


def _is_removal(headers: dict[str, str] | None) -> bool:
    return headers is not None and ("KV-Operation" in headers or "Nats-Marker-Reason" in headers)


_UNUSUAL = re.compile(rb"[^A-Za-z0-9_-]")
_ESCAPED = re.compile(rb"=([0-9A-F]{2}|)")


def _subject(key: str) -> str:
    """Return the end of a key's subject: what NATS gives a meaning to is written in hexadecimal.

    >>> _subject("v1/instances/a b/*")
    'v1.instances.a=20b.=2A'
    """
    return ".".join(
        _UNUSUAL.sub(lambda found: b"=%02X" % found[0][0], part.encode()).decode() or "="
        for part in key.split("/")
    )


def _all(prefix: str) -> str:
    """Return the subjects among which all keys with a prefix are.

    >>> _all("v1/instances/de")
    '$KV.serinus.v1.instances.>'
    """
    whole = prefix.rpartition("/")[0]  # what is after the last slash is no token yet
    return f"{_ROOT}{_subject(whole)}.>" if whole else f"{_ROOT}>"


def _key(subject: str) -> str:
    """Return the key of a subject.

    >>> _key("$KV.serinus.v1.instances.a=20b.=2A")
    'v1/instances/a b/*'
    """
    parts = subject.removeprefix(_ROOT).replace(".", "/").encode()
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), parts).decode(
        errors="replace"
    )
