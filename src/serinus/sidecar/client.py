"""The one door to the HTTP library: pages, and questions whose answers are streamed.

Every request has a connection of its own: one kept from before a restart would break at the next
request, and look like a failure. Proxies of the environment and redirects are not followed.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from serinus.engines import Answer, AnswerReader, Question
from serinus.engines.signs import Sighting
from serinus.errors import MissingExtraError, SettingsError, excerpt
from serinus.sidecar.connection import explained
from serinus.sidecar.contact import ContactError, Trouble
from serinus.sidecar.contacts import Contacts, Line
from serinus.sidecar.place import Place

try:
    import aiohttp
except ImportError as failure:
    raise MissingExtraError(what="The sidecar", extra="sidecar") from failure

__all__ = ["EngineClient", "Exchange", "Page", "trusting"]

_MOST_ANSWER = 1 << 20
"""Bytes of an answer to a canary, head and chunks: a token needs a few hundred."""
_PIECE = 64 << 10
_UNASKED = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
"""Deadlines are set around the calls, by those who know them."""


@dataclass(frozen=True, slots=True)
class Page:
    """An answer as it came."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer; times are seconds of the clock, `first` that of the first item."""

    sent: float
    first: float | None
    done: float
    answer: Answer


class EngineClient:
    """Speaks to one engine. `api_key` is sent as a bearer token, and is in no message."""

    def __init__(
        self,
        place: Place,
        *,
        api_key: Callable[[], str | None] = lambda: None,
        trust: ssl.SSLContext | None = None,
        line: Line | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        alone = Contacts(excuse=0.0, span=0.0, pace=0.0, clock=clock)
        self.line = alone.line(place) if line is None else line
        """What is heard of the engine, by any request."""
        self._place = place
        self._api_key = api_key
        self._trust = trust
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"<client of {self._place}>"

    async def close(self) -> None:
        """Close what is open; twice is once."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(self, path: str, *, seconds: float, limit: int, port: int | None = None) -> Page:
        """Fetch a page of at most `limit` bytes within `seconds`. Raises ContactError.

        `port` is another one of the same host.
        """
        try:
            async with asyncio.timeout(seconds):
                async with self._request("GET", path, port=port) as response:
                    body = await _body(response, limit)
                    return Page(response.status, body)
        except TimeoutError as error:
            raise ContactError(Trouble.SILENT, f"no answer within {seconds:g} s") from error

    async def peek(self, path: str, *, seconds: float, limit: int) -> Sighting:
        """Fetch the first `limit` bytes of a page, and its head. Raises ContactError."""
        try:
            async with asyncio.timeout(seconds):
                async with self._request("GET", path) as response:
                    headers = {name.lower(): value for name, value in response.headers.items()}
                    body = bytearray()
                    async for data in response.content.iter_chunked(_PIECE):
                        body += data
                        if len(body) >= limit:
                            break
                    return Sighting(path, response.status, headers, bytes(body[:limit]))
        except TimeoutError as error:
            raise ContactError(Trouble.SILENT, f"no answer within {seconds:g} s") from error

    async def ask(
        self,
        question: Question,
        reader: AnswerReader,
        *,
        began: Callable[[], None] = lambda: None,
    ) -> Exchange:
        """Put a question and read its answer to the end. Raises ContactError.

        `began` is called when the first item has come.

        The caller keeps the deadline by cancelling: the connection is closed then, which is how
        an engine is told to give the request up.
        """
        sent = self._clock()
        first, size = None, 0
        headers = dict(question.headers)
        async with self._request(
            question.method, question.path, headers, question.body
        ) as response:
            reader.start(response.status, response.headers)
            async for data in response.content.iter_any():
                size += len(data)
                reader.feed(data)
                if first is None and reader.answer.items:
                    first = self._clock()
                    began()
                if reader.answer.finished:
                    break
                if size > _MOST_ANSWER:
                    raise ContactError(Trouble.TOO_LARGE, f"more than {_MOST_ANSWER} bytes")
        if not reader.answer.finished:
            reader.end()
        return Exchange(sent, first, self._clock(), reader.answer)

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        *,
        port: int | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"user-agent": "serinus", "accept-encoding": "identity", **(headers or {})}
        key = self._api_key()
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        self.line.trying()
        try:
            async with self._opened().request(
                method,
                self._place.url(path, port=port),
                headers=headers,
                data=body or None,
                allow_redirects=False,
                timeout=_UNASKED,
            ) as response:
                self.line.answered()
                yield response
        except (aiohttp.ClientError, OSError) as error:
            explained_error = _explained(error)
            self.line.failed(explained_error.trouble)
            raise explained_error from error

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                force_close=True,
                ssl=self._trust if self._trust is not None else True,
                use_dns_cache=False,
            )
            self._session = aiohttp.ClientSession(
                connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


def trusting(ca_file: str | None) -> ssl.SSLContext | None:
    """Return what verifies certificates against a file of authorities; None for the system's.

    Raises SettingsError if the file cannot be read or has no certificate.
    """
    if ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        why = error.strerror if not isinstance(error, ssl.SSLError) else "no certificate in it"
        raise SettingsError(
            f"--ca-file: {excerpt(ca_file, limit=80)!r} is not accepted ({why}); "
            "accepted: a file with certificates in PEM format"
        ) from error


async def _body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for data in response.content.iter_chunked(_PIECE):
        body += data
        if len(body) > limit:
            raise ContactError(Trouble.TOO_LARGE, f"a page of more than {limit} bytes")
    return bytes(body)


def _explained(error: Exception) -> ContactError:
    """Turn what the library raises into what it means."""
    cause = getattr(error, "os_error", error)
    if isinstance(cause, ssl.SSLError) or isinstance(error, aiohttp.ClientSSLError):
        why = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or cause
        return ContactError(Trouble.UNTRUSTED, f"TLS failed: {excerpt(why, limit=120)}")
    if isinstance(cause, OSError):
        return explained(cause)
    if isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError):
        return ContactError(Trouble.DROPPED, "the connection broke before the end of the answer")
    return ContactError(Trouble.NO_HTTP, f"its answer is not HTTP: {excerpt(error, limit=120)}")
