"""The backend on etcd, 3.4 or newer: leases, and watches from a revision.

It speaks the JSON form of etcd's own API (`/v3/...` on the client port), which needs an HTTP client
alone. Records lie where the reference keeps its own. A session uses one of the endpoints; the next
session tries the next one.
"""

from __future__ import annotations

import asyncio
import json
import math
import ssl
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from serinus.discovery.foreign import Foreign
from serinus.discovery.port import Change, Listing
from serinus.errors import DiscoveryError, MissingExtraError, SettingsError, excerpt

try:
    import aiohttp
except ImportError as failure:
    raise MissingExtraError(what="Discovery by etcd", extra="etcd") from failure

if TYPE_CHECKING:
    from serinus.settings import Settings

__all__ = ["Etcd", "Identity", "from_settings"]

_PAGE = 2000
"""Entries that are asked for at once: a page of records stays far below etcd's own limits."""
_TRIES = 5
"""Times that a listing is begun anew before it is given up."""
_BEATS = 3
"""Renewals in the time of a lease."""
_PATIENCE = 0.5
_PATIENCE_WITH_ONE = 0.75
"""The part of a lease after which an endpoint that does not renew is left: what remains of the
lease is for announcing by another one, if there is one."""
_LONGEST_MESSAGE = 64 * 2**20
"""Bytes of the longest message of a watch that is read."""


def from_settings(settings: Settings) -> Etcd:
    """Return the backend at the endpoints that the settings name."""
    identity = Identity(
        settings.etcd_auth_username,
        settings.etcd_auth_password,
        settings.etcd_auth_ca,
        settings.etcd_auth_client_cert,
        settings.etcd_auth_client_key,
    )
    endpoints = settings.etcd_endpoints.split(",")
    for one, other in (("username", "password"), ("client_cert", "client_key")):
        given = [name for name in (one, other) if getattr(settings, f"etcd_auth_{name}")]
        if len(given) == 1:
            missing = other if given == [one] else one
            raise SettingsError(
                f"ETCD_AUTH_{given[0].upper()} is set, and ETCD_AUTH_{missing.upper()} is not"
            )
    plain = next((place for place in endpoints if place.startswith("http://")), None)
    if plain and (identity.ca or identity.certificate):
        raise SettingsError(f"ETCD_AUTH_CA or _CLIENT_CERT is set, and {plain} is no https address")
    try:
        identity.context()
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(filter(None, identity[2:]))
        raise SettingsError(f"etcd's certificates ({files}): {excerpt(error)}") from error
    return Etcd(endpoints, identity)


class Identity(NamedTuple):
    """Who we are for etcd, and whom we believe to be etcd. The last three are files (PEM)."""

    username: str | None = None
    password: str | None = None
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def __repr__(self) -> str:
        """Show no password."""
        return f"Identity({self.username!r})"

    def context(self) -> ssl.SSLContext:
        """Read the certificates: anew for every session, as they are renewed."""
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        return context


class Etcd:
    """One cluster."""

    def __init__(self, endpoints: list[str], identity: Identity | None = None) -> None:
        self.place = f"etcd at {', '.join(endpoints)}"
        self.foreign = Foreign()
        self._endpoints = endpoints
        self._identity = identity or Identity()
        self._turn = 0

    @asynccontextmanager
    async def session(self, *, lease: float) -> AsyncIterator[_Session]:
        """Connect by the first endpoint that answers; see `Backend`."""
        try:
            secure = self._identity.context()
        except (OSError, ssl.SSLError) as error:
            raise DiscoveryError(f"{self.place}: certificates: {excerpt(error)}") from error
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=secure),
            timeout=aiohttp.ClientTimeout(total=None),
        ) as http:
            session = await self._connected(http, lease)
            try:
                yield session
            except BaseException:
                self._turn += 1
                raise
            with suppress(DiscoveryError):
                await session.revoke()

    async def _connected(self, http: aiohttp.ClientSession, lease: float) -> _Session:
        troubles = []
        for _ in self._endpoints:
            endpoint = self._endpoints[self._turn % len(self._endpoints)]
            door = _Door(http, endpoint, self.place, within=lease / len(self._endpoints))
            try:
                async with asyncio.timeout(door.within):
                    await door.authenticate(self._identity)
                    session = await _Session.begin(door, lease)
                    session.patience = _PATIENCE if self._endpoints[1:] else _PATIENCE_WITH_ONE
                    return session
            except TimeoutError:
                troubles.append(f"{endpoint} gave no answer for {door.within:.1f} s")
            except DiscoveryError as error:
                troubles.append(str(error).removeprefix(f"{self.place}: "))
            self._turn += 1
        raise DiscoveryError(f"{self.place}: {'; '.join(troubles)}")


class _Door:
    """One endpoint: calls and streams of JSON."""

    def __init__(
        self, http: aiohttp.ClientSession, endpoint: str, place: str, *, within: float
    ) -> None:
        self.place = place
        self.within = within
        """Seconds that a call may take, unless it says otherwise."""
        self._http = http
        self._endpoint = endpoint
        self._headers: dict[str, str] = {}

    async def authenticate(self, identity: Identity) -> None:
        """Get the token that goes with every call, if there is a user."""
        if identity.username is not None:
            said = {"name": identity.username, "password": identity.password}
            answer = await self.call("auth/authenticate", said)
            self._headers = {"Authorization": str(answer.get("token", ""))}

    async def call(
        self, method: str, said: Mapping[str, object], *, within: float | None = None
    ) -> dict[str, Any]:
        """Ask once, and return the answer. Raises _RefusedError for what etcd itself answers."""
        within = within or self.within
        try:
            async with (
                asyncio.timeout(within),
                self._http.post(self._url(method), json=said, headers=self._headers) as response,
            ):
                content = await response.read()
        except TimeoutError as error:
            told = f"{self.place}: {self._endpoint} gave no answer for {within:.1f} s"
            raise _SilentError(told) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._lost(error) from error
        return self._read(content, response.status)

    async def stream(
        self, method: str, said: Mapping[str, object]
    ) -> AsyncIterator[dict[str, Any]]:
        """Ask once, and yield the answers as they come. Always ends with a DiscoveryError."""
        limit = aiohttp.ClientTimeout(total=None, sock_connect=self.within)
        rest = bytearray()
        try:
            async with self._http.post(
                self._url(method), json=said, headers=self._headers, timeout=limit
            ) as response:
                async for part in response.content.iter_any():
                    rest += part
                    *lines, tail = rest.split(b"\n") if b"\n" in part else (rest,)
                    rest = bytearray(tail)
                    for line in lines:
                        yield self._read(line, response.status)
                    if len(rest) > _LONGEST_MESSAGE:
                        raise DiscoveryError(f"{self.place}: a message of a watch does not end")
                if rest.strip():
                    yield self._read(rest, response.status)
        except (aiohttp.ClientError, OSError) as error:
            raise self._lost(error) from error
        raise DiscoveryError(f"{self.place}: {self._endpoint} ended a watch")

    def _url(self, method: str) -> str:
        return f"{self._endpoint}/v3/{method}"

    def _lost(self, error: Exception) -> DiscoveryError:
        return DiscoveryError(f"{self.place}: {self._endpoint}: {excerpt(error) or repr(error)}")

    def _read(self, content: bytes | bytearray, status: int) -> dict[str, Any]:
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            told = excerpt(content[:200].decode(errors="replace"))
            raise DiscoveryError(
                f"{self.place}: {self._endpoint} is no etcd 3.4 or newer: "
                f"HTTP {status} and no JSON object: {told}"
            )
        if status != 200 or "error" in answer:
            trouble = answer.get("error", answer.get("message", f"HTTP {status}"))
            if isinstance(trouble, dict):  # within a stream
                trouble = trouble.get("message", trouble)
            raise _RefusedError(f"{self.place}: {self._endpoint}: {excerpt(trouble)}")
        return answer


class _RefusedError(DiscoveryError):
    """The endpoint answered, and not as asked."""


class _SilentError(DiscoveryError):
    """The endpoint did not answer in time."""


class _Session:
    """See `port.Session`."""

    def __init__(self, door: _Door, lease: float, number: str, ttl: float) -> None:
        door.within = lease
        self.patience = _PATIENCE
        self._door = door
        self._number = number
        self._ttl = ttl
        self._renewed = time.monotonic()

    @classmethod
    async def begin(cls, door: _Door, lease: float) -> _Session:
        """Get a lease: etcd's are whole seconds, and it may insist on longer ones."""
        began = time.monotonic()
        answer = await door.call("lease/grant", {"TTL": math.ceil(lease)})
        session = cls(door, lease, str(answer["ID"]), float(answer["TTL"]))
        session._renewed = began
        return session

    async def revoke(self) -> None:
        """End the lease, and with it all that was put."""
        await self._door.call("lease/revoke", {"ID": self._number})

    async def put(self, key: str, value: bytes) -> None:
        await self._door.call("kv/put", self._entry(key, value))

    async def create(self, key: str, value: bytes) -> bool:
        absent = {"key": _text(key.encode()), "target": "CREATE", "create_revision": "0"}
        said = {"compare": [absent], "success": [{"request_put": self._entry(key, value)}]}
        return bool((await self._door.call("kv/txn", said)).get("succeeded"))

    async def delete(self, key: str) -> None:
        await self._door.call("kv/deleterange", {"key": _text(key.encode())})

    async def list(self, prefix: str) -> Listing:
        for _ in range(_TRIES):
            try:
                return await self._listed(prefix)
            except _RefusedError as error:
                # The moment of the first page is forgotten already, or not known yet by another
                # node that a balancer asked: begin anew.
                if not any(word in str(error) for word in ("compacted", "future revision")):
                    raise
        raise DiscoveryError(f"{self._door.place}: changes too quickly to be listed")

    async def _listed(self, prefix: str) -> Listing:
        entries: dict[str, bytes] = {}
        said: dict[str, object] = {**_range(prefix), "limit": _PAGE}
        while True:
            answer = await self._door.call("kv/range", said)
            if "revision" not in said:
                # This endpoint has it now, and need not ask the others for the further pages.
                said |= {"revision": answer["header"]["revision"], "serializable": True}
            found = answer.get("kvs", ())
            for entry in found:
                entries[_key(entry)] = b64decode(entry.get("value", ""))
            if not answer.get("more"):
                return Listing(entries, mark=int(str(said["revision"])))
            said["key"] = _text(b64decode(found[-1]["key"]) + b"\0")

    async def watch(self, prefix: str, since: Listing) -> AsyncIterator[Change]:
        if not isinstance(since.mark, int):
            raise TypeError("the listing is of another backend")
        said = {"create_request": {**_range(prefix), "start_revision": since.mark + 1}}
        async for message in self._door.stream("watch", said):
            answer = message.get("result", {})
            if answer.get("canceled"):
                why = answer.get("cancel_reason") or "changes were compacted before they were seen"
                raise DiscoveryError(f"{self._door.place}: the watch ended: {excerpt(why)}")
            for event in answer.get("events", ()):
                entry = event["kv"]
                gone = event.get("type") == "DELETE"
                yield Change(_key(entry), None if gone else b64decode(entry.get("value", "")))

    async def keep(self) -> None:
        beat = self._ttl / _BEATS
        while True:
            began = time.monotonic()
            left = self._renewed + self._ttl - began
            try:
                answer = await self._door.call(
                    "lease/keepalive",
                    {"ID": self._number},
                    within=max(min(0.75 * beat, 0.9 * left), 0.1),
                )
            except (_RefusedError, _SilentError):
                if time.monotonic() - self._renewed > self.patience * self._ttl:
                    raise
                await asyncio.sleep(beat / 6)
                continue
            left = float(answer.get("result", {}).get("TTL", 0))
            if left <= 0:
                raise DiscoveryError(f"{self._door.place}: the lease ran out")
            self._renewed, self._ttl = began, left
            await asyncio.sleep(max(beat - (time.monotonic() - began), 0.0))

    def _entry(self, key: str, value: bytes) -> dict[str, object]:
        return {"key": _text(key.encode()), "value": _text(value), "lease": self._number}


def _range(prefix: str) -> dict[str, object]:
    """Return the range of all keys that begin with a prefix: it ends before the next sibling.

    >>> _range("v1/")
    {'key': 'djEv', 'range_end': 'djEw'}
    """
    first = prefix.encode()
    return {"key": _text(first), "range_end": _text(first[:-1] + bytes([first[-1] + 1]))}


def _key(entry: Mapping[str, Any]) -> str:
    """Return an entry's key; what is no text in it is escaped, so that it can be named."""
    return b64decode(entry["key"]).decode(errors="backslashreplace")


def _text(raw: bytes) -> str:
    return b64encode(raw).decode()
