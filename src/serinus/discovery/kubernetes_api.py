"""The API server of a Kubernetes cluster: the configuration, requests, lists and watches.

The client library brings what has to be right and is no business of ours: kubeconfigs, the pod's
ServiceAccount, tokens that are read again when they run out, certificates. Objects stay JSON, as
which versions of the API there are is known only at run time.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, NamedTuple

from serinus.discovery.kubernetes_view import Json
from serinus.errors import DiscoveryError, MissingExtraError, excerpt

try:
    import httpcore2
    import httpx2
    from lightkube import KubeConfig, SingleConfig
    from lightkube.config.client_adapter import AsyncClient, ConnectionParams
    from lightkube.core.exceptions import ConfigError
except ImportError as error:
    raise MissingExtraError(what="Discovery on Kubernetes", extra="kubernetes") from error

__all__ = ["Api", "Cluster", "Paths", "Refused", "paths_of", "reach"]

_PAGE = 500
"""Objects in one answer to a list."""
_ROUND = 300
"""Seconds after which the API server ends a watch, which is then taken up where it was."""
_SILENCE = 150.0
"""Seconds without a byte after which a watch is given up: a bookmark comes every minute."""
_LINE = 8 * 1024 * 1024
"""Bytes that one event may have: an object in etcd has 1.5 MB at the most."""
_AT_ONCE = 16
"""Requests that run side by side."""
_PATIENCE = 10.0
"""Seconds for one answer, at most."""
_TRIES = 4
"""Requests before a server's word that it has too much to do is taken for an answer."""
_USERS = "~/.kube/config"
_ROLE = "the Role that is needed is in docs/discovery-kubernetes.md"


class Cluster(NamedTuple):
    """A client of an API server, where that is, and the namespace that the configuration names."""

    client: httpx2.AsyncClient
    server: str
    namespace: str


def reach(kubeconfig: str, account: Path) -> Cluster:
    """Make a client as the configuration says: that of the file, else the pod's, else the user's.

    Reads files and certificates, asks nobody. Raises DiscoveryError if they cannot be used.
    """
    try:
        config = _configuration(kubeconfig, account)
        client = AsyncClient(config, ConnectionParams())
    except Exception as error:  # what readers of YAML, JSON and certificates raise is their affair
        file = kubeconfig or f"{account} or {_USERS}"
        raise DiscoveryError(
            f"Kubernetes: the configuration ({file}) cannot be used: {excerpt(error)}"
        ) from error
    _close_what_is_cancelled(client)
    requests = logging.getLogger("httpx2")
    if requests.level == logging.NOTSET:
        requests.setLevel(logging.WARNING)  # it would tell of every renewal
    return Cluster(client, str(config.cluster.server), config.namespace)


def _close_what_is_cancelled(client: httpx2.AsyncClient) -> None:
    """Have a connection closed whose TLS handshake is cancelled.

    httpcore2 2.16 closes one whose handshake fails, and leaves a cancelled one to the garbage
    collector (`start_tls` in its anyio backend catches Exception alone).
    """
    pool = getattr(client._transport, "_pool", None)
    if isinstance(pool, httpcore2.AsyncConnectionPool):
        pool._network_backend = _Backend(pool._network_backend)


class _Backend(httpcore2.AsyncNetworkBackend):
    """Connections whose handshakes are closed when they do not end well."""

    def __init__(self, backend: httpcore2.AsyncNetworkBackend) -> None:
        self._backend = backend

    async def connect_tcp(self, *args: Any, **options: Any) -> httpcore2.AsyncNetworkStream:
        return _Stream(await self._backend.connect_tcp(*args, **options))

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


class _Stream(httpcore2.AsyncNetworkStream):
    def __init__(self, stream: httpcore2.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(self, *args: Any, **options: Any) -> httpcore2.AsyncNetworkStream:
        try:
            return await self._stream.start_tls(*args, **options)
        except asyncio.CancelledError:
            await self._stream.aclose()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _configuration(kubeconfig: str, account: Path) -> SingleConfig:
    if kubeconfig:
        found = KubeConfig.from_file(kubeconfig.partition(os.pathsep)[0])
    elif "KUBERNETES_SERVICE_HOST" in os.environ and account.exists():
        found = KubeConfig.from_service_account(account)
    else:
        found = KubeConfig.from_file(_USERS)
    one = found.get()
    if one is None:
        raise ConfigError("it has no current context")
    return one


class Refused(DiscoveryError):  # noqa: N818 - an answer, of which most are expected
    """The API server answered, and not with what was asked for."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """Requests to the API server, and its answers as JSON."""

    def __init__(self, client: httpx2.AsyncClient, place: str, *, patience: float) -> None:
        self._client = client
        self._place = place
        self._patience = min(patience, _PATIENCE)
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Json:
        """Make one request; Refused where the answer is none of the good ones.

        A server that has too much to do says when to ask again, and has done nothing yet.
        """
        response = await self._answer(method, path, body, params)
        for _ in range(1, _TRIES):
            if response.status_code != 429:
                break
            await asyncio.sleep(_wait(response.headers.get("Retry-After", "")))
            response = await self._answer(method, path, body, params)
        self._check(response, f"{method} {path}")
        return _object(response.content, self._place)

    async def _answer(
        self, method: str, path: str, body: Json | None, params: Mapping[str, str] | None
    ) -> httpx2.Response:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        async with self._turns:
            try:
                return await self._client.request(
                    method,
                    path,
                    params=params,
                    content=None if body is None else json.dumps(body).encode(),
                    headers={"Content-Type": kind} if body is not None else None,
                    timeout=self._patience,
                )
            except (httpx2.HTTPError, ConfigError, OSError) as error:
                raise self._failed(error) from error

    async def all(self, path: str, labels: str = "", fields: str = "") -> tuple[list[Json], str]:
        """List objects; return them, and the version of the listing."""
        params = {"limit": str(_PAGE)}
        params |= {"labelSelector": labels} if labels else {}
        params |= {"fieldSelector": fields} if fields else {}
        items: list[Json] = []
        while True:
            page = await self.call("GET", path, params=params)
            items += page.get("items") or ()
            metadata = page["metadata"]
            if not metadata.get("continue"):
                return items, metadata["resourceVersion"]
            params["continue"] = metadata["continue"]

    async def events(self, path: str, labels: str, version: str) -> AsyncIterator[tuple[str, Json]]:
        """Watch objects after a version; taken up again when the server ends it in order.

        Refused with the status 410 says that changes were missed.
        """
        loop = asyncio.get_running_loop()
        tries = 0
        while True:
            began = loop.time()
            try:
                async with aclosing(self._round(path, labels, version)) as events:  # type: ignore[type-var]
                    async for kind, item in events:
                        tries = 0
                        version = item["metadata"]["resourceVersion"]
                        if kind != "BOOKMARK":
                            yield kind, item
            except Refused as error:
                tries += 1
                if error.status != 429 or tries >= _TRIES:
                    raise
            if loop.time() - began < 1:
                await asyncio.sleep(1)  # a server that ends every watch at once is not pestered

    async def _round(self, path: str, labels: str, version: str) -> AsyncIterator[tuple[str, Json]]:
        """Watch until the server ends it."""
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(_ROUND),
            "resourceVersion": version,
        }
        params |= {"labelSelector": labels} if labels else {}
        async with aclosing(self._lines(path, params)) as lines:  # type: ignore[type-var]
            async for line in lines:
                event = _object(line, self._place)
                kind, item = str(event["type"]), event["object"]
                if kind == "ERROR":
                    said = excerpt(item.get("message", item))
                    code = int(item.get("code", 0))
                    raise Refused(f"{self._place}: the watch ended: {said}", code)
                yield kind, item

    async def _lines(self, path: str, params: Mapping[str, str]) -> AsyncIterator[bytes]:
        timeout = httpx2.Timeout(self._patience, read=_SILENCE)
        try:
            async with self._client.stream("GET", path, params=params, timeout=timeout) as response:
                if response.status_code != 200:
                    await response.aread()
                self._check(response, f"watch {path}")
                rest = b""
                async for piece in response.aiter_bytes():
                    *lines, rest = (rest + piece).split(b"\n")
                    for line in lines:
                        yield line
                    if len(rest) > _LINE:
                        raise DiscoveryError(f"{self._place}: an event has more than {_LINE} bytes")
        except (httpx2.HTTPError, ConfigError, OSError) as error:
            raise self._failed(error) from error

    def _check(self, response: httpx2.Response, what: str) -> None:
        status = response.status_code
        if status < 300:
            return
        try:
            said = excerpt(response.json()["message"])
        except (ValueError, LookupError, TypeError):
            said = excerpt(response.text)
        if status == 401:
            said = f"who we are is not accepted; has the token run out? ({said})"
        if status == 403:
            said = f"{said}; {_ROLE}"
        raise Refused(f"{self._place}: {what}: {status}: {said}", status)

    def _failed(self, error: Exception) -> DiscoveryError:
        return DiscoveryError(f"{self._place}: {type(error).__name__}: {excerpt(error)}")


def _wait(said: str) -> float:
    """Return how long to wait as a server said it, in seconds; about one where it did not."""
    seconds = float(said) if said.isdecimal() else 1.0
    return min(seconds, _PATIENCE) * random.uniform(0.5, 1.5)


def _object(text: bytes, place: str) -> Json:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise DiscoveryError(
            f"{place}: no JSON: {excerpt(text.decode(errors='replace'))}"
        ) from error
    if not isinstance(found, dict):
        raise DiscoveryError(f"{place}: no JSON object: {excerpt(found)}")
    return found


class Paths(NamedTuple):
    """Where a namespace's objects are; EndpointSlices may not be served."""

    leases: str
    pods: str
    slices: str | None


async def paths_of(api: Api, namespace: str) -> Paths:
    """Ask which versions are served."""
    groups = {group["name"]: group for group in (await api.call("GET", "/apis"))["groups"]}

    def newest(group: str, *known: str) -> str | None:
        served = {one["version"] for one in groups.get(group, {}).get("versions", ())}
        version = next((one for one in known if one in served), None)
        return version and f"/apis/{group}/{version}/namespaces/{namespace}"

    leases = newest("coordination.k8s.io", "v1", "v1beta1")
    slices = newest("discovery.k8s.io", "v1", "v1beta1")
    if leases is None:
        raise Refused(f"{namespace}: the API server serves no coordination.k8s.io/v1", 404)
    return Paths(
        leases=f"{leases}/leases",
        pods=f"/api/v1/namespaces/{namespace}/pods",
        slices=slices and f"{slices}/endpointslices",
    )
