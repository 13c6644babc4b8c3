"""The backend on Kubernetes: Lease objects hold entries, pods and EndpointSlices say who serves.

Nothing is installed in the cluster and no pod is changed: the namespace's Role in
docs/discovery-kubernetes.md is all that is needed. What the objects mean stands in
`kubernetes_view.py`; here is how they are read, watched and written. The API's versions are asked
for, not assumed.

A session that was not renewed is deleted by whoever notices first, and only if its object is still
the one that was seen last (a precondition on its resourceVersion): so all agree on who is gone, a
reader that was asleep takes nobody down, and a watch that has gone silent is found out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from serinus.discovery.foreign import Foreign
from serinus.discovery.kubernetes_api import Api, Paths, Refused, paths_of, reach
from serinus.discovery.kubernetes_view import (
    Ages,
    Entry,
    Json,
    Pods,
    View,
    entry_metadata,
    entry_name,
    holder_of,
    renewal,
    selector,
    session_body,
    session_of,
)
from serinus.discovery.port import Change, Listing
from serinus.discovery.waiting import within
from serinus.errors import DiscoveryError, excerpt
from serinus.settings import Settings

__all__ = ["Kubernetes", "from_settings"]

logger = logging.getLogger("serinus")

_Result = TypeVar("_Result")

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_BEATS = 3
"""Renewals in the time of a lease."""
_TRUSTED = 0.9
"""The part of a lease after which a session that was not renewed is given up by its owner."""
_AUDIT = 30.0
"""Seconds between two looks at whether what was put is still there."""
_BACKLOG = 65536
"""Events that may wait for a watcher."""


class Kubernetes:
    """A namespace of a cluster as the place where workers announce themselves.

    `pod` and `pod_uid` are of the pod that this process runs in: without them what is put is not
    bound to a pod, and only the lease tells of a death. `pods` is a label selector of the pods that
    are worth watching; empty, all of the namespace's. The configuration is that of the file
    `kubeconfig`, else the pod's ServiceAccount, else `~/.kube/config`; without a `namespace`, it is
    the configuration's.
    """

    def __init__(
        self,
        *,
        namespace: str = "",
        pod: str = "",
        pod_uid: str = "",
        pods: str = "",
        kubeconfig: str = "",
        account: Path = _ACCOUNT,
    ) -> None:
        self.pod = pod
        self.pod_uid = pod_uid
        self.pods = pods
        self.foreign = Foreign()
        self._namespace = namespace
        self._kubeconfig = kubeconfig
        self._account = account
        self._server = ""

    @property
    def place(self) -> str:
        """The namespace, and the API server once it is known."""
        where = f" at {self._server}" if self._server else ""
        return f"Kubernetes, namespace {self._namespace or 'of the configuration'}{where}"

    @asynccontextmanager
    async def session(self, *, lease: float) -> AsyncIterator[_Session]:
        """Connect; see `Backend`."""
        async with AsyncExitStack() as opened:
            async with _bounded(self, lease):
                cluster = await asyncio.to_thread(reach, self._kubeconfig, self._account)
                opened.push_async_callback(cluster.client.aclose)
                self._namespace = self._namespace or cluster.namespace
                self._server = cluster.server
                api = Api(cluster.client, self.place, patience=lease / 2)
                paths = await paths_of(api, self._namespace)
                session = await _Session.begin(self, api, paths, lease)
            opened.push_async_callback(session.close)
            yield session
            await session.leave()

    def skip(self, view: View) -> None:
        """Note objects that were not understood; each is named in the log once."""
        for name, why in self.foreign.found(selector(view.prefix), view.wrong).items():
            logger.warning("discovery: %s: skipped the Lease %s: %s", self.place, name, why)


def from_settings(settings: Settings) -> Kubernetes:
    """Return the backend that the settings describe, not connected."""
    return Kubernetes(
        namespace=settings.pod_namespace or "",
        pod=settings.pod_name or "",
        pod_uid=settings.pod_uid or "",
        pods=settings.kubernetes_pods or "",
        kubeconfig=settings.kubeconfig or "",
    )


# --- a session -------------------------------------------------------------------------------


class _Mark(NamedTuple):
    view: View
    version: str


class _Feed:
    """What a watcher has not seen yet."""

    def __init__(self) -> None:
        self.events: deque[tuple[str, Json]] = deque()
        self.pods: set[str] = set()
        self.trouble: DiscoveryError | None = None
        self.news = asyncio.Event()


class _Changed(Protocol):
    def __call__(self, item: Json, *, deleted: bool) -> set[str]: ...


class _Session:
    """See `port.Session`."""

    def __init__(
        self, backend: Kubernetes, api: Api, paths: Paths, name: str, lease: float
    ) -> None:
        self._backend = backend
        self._api = api
        self._paths = paths
        self._name = name
        self._lease = lease
        self._owners: list[Json] = []
        self._held: dict[str, str] = {}
        """Names of the entries that are this session's, and the version that was written last."""
        self._ages = Ages()
        self._pods = Pods()
        self._known: list[asyncio.Event] = []
        self._feeds: set[_Feed] = set()
        self._followers: list[asyncio.Task[None]] = []
        self._trouble: DiscoveryError | None = None
        self._broken = asyncio.Event()
        self._now = asyncio.get_running_loop().time
        self._renewed = self._now()

    @classmethod
    async def begin(cls, backend: Kubernetes, api: Api, paths: Paths, lease: float) -> _Session:
        """Write the session's object, bound to the pod if there is one."""
        who = backend.pod or socket.gethostname()
        name = f"serinus-session-{_label(who)}-{secrets.token_hex(6)}"
        session = cls(backend, api, paths, name, lease)
        if backend.pod:
            session._owners = [await session._pod()]
        body = session_body(
            name,
            holder=f"{who}/{os.getpid()}",
            lease=lease,
            pod=backend.pod,
            owners=session._owners,
        )
        session._renewed = session._now()
        await session._post(body)
        return session

    async def put(self, key: str, value: bytes) -> None:
        name = entry_name(key)
        metadata = self._metadata(key, value)
        async with self._bounded():
            if name not in self._held and await self._posted(metadata):
                return
            try:
                done = await self._api.call(
                    "PATCH", f"{self._paths.leases}/{name}", body={"metadata": metadata}
                )
                self._held[name] = done["metadata"]["resourceVersion"]
            except Refused as error:
                if error.status != 404:
                    raise
                if not await self._posted(metadata):
                    raise DiscoveryError(f"{self._backend.place}: {key} comes and goes") from error

    async def create(self, key: str, value: bytes) -> bool:
        metadata = self._metadata(key, value)
        path = f"{self._paths.leases}/{entry_name(key)}"
        async with self._bounded():
            there = await self._get(path)
            if there is not None:
                if not await self._is_over(session_of(there)):
                    return False
                await self._delete(path, version=there["metadata"]["resourceVersion"])
            return await self._posted(metadata)

    async def delete(self, key: str) -> None:
        name = entry_name(key)
        async with self._bounded():
            await self._delete(f"{self._paths.leases}/{name}")
            self._held.pop(name, None)

    async def list(self, prefix: str) -> Listing:
        async with self._bounded():
            await self._follow()
            items, version = await self._api.all(self._paths.leases, selector(prefix))
        view = View(prefix, self._ages, self._pods, pod=self._backend.pod)
        now = self._now()
        view.listed(items, now=now)
        self._backend.skip(view)
        if self._name not in view.holders:
            raise self._ran_out()
        return Listing(view.entries(now=now), mark=_Mark(view, version))

    async def watch(self, prefix: str, since: Listing) -> AsyncIterator[Change]:
        mark = since.mark
        if not isinstance(mark, _Mark):
            raise TypeError("the listing is of another backend")
        view, shown = mark.view, dict(since.entries)
        async with self._feed(selector(prefix), mark.version) as feed:
            touched = view.keys()  # pods may have changed since the listing
            while True:
                over, due = view.due(now=self._now())
                touched |= await self._bury(view, over)
                for key in touched:
                    value = view.value(key)
                    if shown.get(key) != value:
                        _set(shown, key, value)
                        yield Change(key, value)
                touched = await self._news(view, feed, due)

    async def keep(self) -> None:
        number, audited = 0, self._now()
        while True:
            self._check()
            number += 1
            began = self._now()
            until = self._renewed + _TRUSTED * self._lease
            try:
                async with asyncio.timeout_at(until):
                    await self._renew(number)
                    if began - audited >= _AUDIT:
                        audited = began
                        await self._audit()
                self._renewed = began
                pause = began + self._lease / _BEATS - self._now()
            except TimeoutError as error:
                message = f"{self._backend.place}: the lease could not be renewed in time"
                raise DiscoveryError(message) from error
            except DiscoveryError as error:
                pause = self._lease / 10
                final = isinstance(error, Refused) and error.status in (401, 403)
                if final or isinstance(error, _RanOut) or self._now() + pause >= until:
                    raise
            if await within(self._broken.wait(), pause):
                self._check()

    async def leave(self) -> None:
        """Take back what was put: the session's object first, so that all goes at once."""
        try:
            async with asyncio.timeout(self._lease):
                await self._delete(f"{self._paths.leases}/{self._name}")
                held = [
                    self._delete(f"{self._paths.leases}/{name}", version=version)
                    for name, version in self._held.items()
                ]
                await _all(held)
        except (DiscoveryError, TimeoutError) as error:
            logger.info("discovery: left to the lease: %s", excerpt(error))

    async def close(self) -> None:
        """End what follows pods."""
        for task in self._followers:
            task.cancel()
        await asyncio.gather(*self._followers, return_exceptions=True)

    # --- writing -----------------------------------------------------------------------------

    def _metadata(self, key: str, value: bytes) -> dict[str, Any]:
        return entry_metadata(key, value, session=self._name, owners=self._owners)

    async def _post(self, body: Json) -> Json:
        return await self._api.call("POST", self._paths.leases, body=body)

    async def _posted(self, metadata: Json) -> bool:
        """Make an entry's object, and say whether it was not there."""
        notes = {k: v for k, v in metadata["annotations"].items() if v is not None}
        try:
            done = await self._post({"metadata": {**metadata, "annotations": notes}})
        except Refused as error:
            if error.status != 409:
                raise
            return False
        self._held[done["metadata"]["name"]] = done["metadata"]["resourceVersion"]
        return True

    async def _get(self, path: str) -> Json | None:
        try:
            return await self._api.call("GET", path)
        except Refused as error:
            if error.status != 404:
                raise
            return None

    async def _delete(self, path: str, *, version: str | None = None) -> bool:
        """Delete an object, if it is of that version still; say whether it is gone."""
        body = None if version is None else {"preconditions": {"resourceVersion": version}}
        try:
            await self._api.call("DELETE", path, body=body)
        except Refused as error:
            if error.status not in (404, 409):
                raise
            return error.status == 404
        return True

    async def _renew(self, number: int) -> None:
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        body = renewal(number=number, moment=moment)
        try:
            await self._api.call("PATCH", f"{self._paths.leases}/{self._name}", body=body)
        except Refused as error:
            if error.status == 404:
                raise self._ran_out() from error
            raise

    async def _audit(self) -> None:
        """Raise if an entry was taken away or over: it is announced again by who connects again."""
        held = tuple(self._held)
        found = await _all([self._get(f"{self._paths.leases}/{name}") for name in held])
        for name, item in zip(held, found, strict=True):
            if name in self._held and (item is None or session_of(item) != self._name):
                raise _RanOut(f"{self._backend.place}: the Lease {name} was taken away or over")

    # --- who is over -------------------------------------------------------------------------

    async def _is_over(self, session: str) -> bool:
        """Whether a session has ended, or runs out now by what this one has seen of it."""
        if session == self._name:
            return False
        path = f"{self._paths.leases}/{session}"
        item = await self._get(path) if session else None
        if item is None:
            return True
        try:
            holder = holder_of(item)
        except ValueError:
            return True
        seen = self._ages.seen(session, holder.version, now=self._now(), listed=True)
        if self._now() < seen + holder.seconds:
            return False
        return await self._delete(path, version=holder.version)

    async def _bury(self, view: View, sessions: Sequence[str]) -> set[str]:
        """Delete sessions that ran out, and what they held; return the keys that it matters to."""
        if self._name in sessions:
            raise DiscoveryError(f"{self._backend.place}: the watch is silent; list again")
        async with self._bounded():
            touched = await _all([self._bury_one(view, name) for name in sessions])
        return {key for keys in touched for key in keys}

    async def _bury_one(self, view: View, name: str) -> set[str]:
        version = view.holders[name].version
        if not await self._delete(f"{self._paths.leases}/{name}", version=version):
            raise DiscoveryError(
                f"{self._backend.place}: {name} was renewed, and the watch is behind"
            )
        entries = view.belongings(name)
        await _all([self._clear(entry) for entry in entries])
        return view.lost(name)

    async def _clear(self, entry: Entry) -> None:
        await self._delete(f"{self._paths.leases}/{entry_name(entry.key)}", version=entry.version)

    # --- following ---------------------------------------------------------------------------

    async def _pod(self) -> Json:
        """Return the reference to the pod that this process runs in."""
        pod, place = self._backend.pod, self._backend.place
        items, _ = await self._api.all(self._paths.pods, fields=f"metadata.name={pod}")
        if not items:
            raise DiscoveryError(
                f"{place}: there is no pod {excerpt(pod)}; is POD_NAME this pod's?"
            )
        uid = str(items[0]["metadata"]["uid"])
        if self._backend.pod_uid not in ("", uid):
            raise DiscoveryError(
                f"{place}: the pod {excerpt(pod)} has the UID {uid}, and not that of POD_UID "
                f"({excerpt(self._backend.pod_uid)})"
            )
        return {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}

    async def _follow(self) -> None:
        """Follow pods and EndpointSlices from now on, and wait until they are known."""
        if not self._followers:
            pods, paths = self._pods, self._paths
            self._start(paths.pods, self._backend.pods, pods.pods_listed, pods.pod_changed)
            if paths.slices is not None:
                self._start(paths.slices, "", pods.slices_listed, pods.slice_changed)
        for known in self._known:
            await known.wait()
        self._check()

    def _start(
        self,
        path: str,
        labels: str,
        listed: Callable[[Iterable[Json]], set[str]],
        changed: _Changed,
    ) -> None:
        known = asyncio.Event()
        self._known.append(known)

        async def follow() -> None:
            while True:
                items, version = await self._api.all(path, labels)
                self._tell(listed(items))
                known.set()
                try:
                    async for kind, item in self._api.events(path, labels, version):
                        self._tell(changed(item, deleted=kind == "DELETED"))
                except Refused as error:
                    if error.status != 410:
                        raise
                    logger.info("discovery: %s: changes were missed; listing again", path)

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                self._fail(error)
                known.set()

        task = asyncio.create_task(follow(), name=f"discovery: follow {path}")
        task.add_done_callback(ended)
        self._followers.append(task)

    @asynccontextmanager
    async def _feed(self, labels: str, version: str) -> AsyncIterator[_Feed]:
        """Collect the events of Lease objects, and the pods that change, for one watcher."""
        feed = _Feed()

        async def collect() -> None:
            async for event in self._api.events(self._paths.leases, labels, version):
                if len(feed.events) >= _BACKLOG:
                    raise DiscoveryError(f"{self._backend.place}: the watcher is too far behind")
                feed.events.append(event)
                feed.news.set()

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                feed.trouble = self._as_trouble(error)
                feed.news.set()

        task = asyncio.create_task(collect(), name="discovery: watch Lease objects")
        task.add_done_callback(ended)
        self._feeds.add(feed)
        try:
            yield feed
        finally:
            self._feeds.discard(feed)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _news(self, view: View, feed: _Feed, due: float | None) -> set[str]:
        """Wait for changes until the next session is due; return the keys they may matter to."""
        pause = None if due is None else max(0.0, due - self._now())
        await within(feed.news.wait(), pause)
        feed.news.clear()
        touched = view.in_pods(feed.pods) if feed.pods else set()
        feed.pods.clear()
        now = self._now()
        while feed.events:
            kind, item = feed.events.popleft()
            touched |= view.changed(item, deleted=kind == "DELETED", now=now)
        self._backend.skip(view)
        self._check()
        if feed.trouble is not None:
            raise feed.trouble
        return touched

    def _tell(self, pods: set[str]) -> None:
        for feed in self._feeds:
            feed.pods |= pods
            feed.news.set()

    # --- trouble -----------------------------------------------------------------------------

    def _fail(self, error: BaseException) -> None:
        self._trouble = self._trouble or self._as_trouble(error)
        self._broken.set()
        self._tell(set())

    def _as_trouble(self, error: BaseException) -> DiscoveryError:
        if isinstance(error, DiscoveryError):
            return error
        logger.error("discovery on Kubernetes failed", exc_info=error)
        return DiscoveryError(f"{self._backend.place}: {type(error).__name__}: {excerpt(error)}")

    def _check(self) -> None:
        if self._trouble is not None:
            raise DiscoveryError(str(self._trouble)) from self._trouble

    def _ran_out(self) -> DiscoveryError:
        return _RanOut(f"{self._backend.place}: the lease ran out; {self._name} is gone")

    def _bounded(self) -> AbstractAsyncContextManager[None]:
        return _bounded(self._backend, self._lease)


@asynccontextmanager
async def _bounded(backend: Kubernetes, seconds: float) -> AsyncIterator[None]:
    """Let nothing take longer, and take an answer of another shape for the API server's fault."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise DiscoveryError(f"{backend.place}: no answer within {seconds:g} s") from error
    except (LookupError, TypeError, AttributeError) as error:
        raise DiscoveryError(f"{backend.place}: no such answer is known: {error!r}") from error


class _RanOut(DiscoveryError):  # noqa: N818
    """The session is over: trying again is of no use."""


def _set(shown: dict[str, bytes], key: str, value: bytes | None) -> None:
    if value is None:
        shown.pop(key, None)
    else:
        shown[key] = value


def _label(who: str) -> str:
    """Return as much of a name as an object's may have."""
    word = "".join(c if c.isascii() and c.isalnum() else "-" for c in who.lower())
    return word[:200].strip("-") or "unknown"


async def _all(work: Sequence[Coroutine[object, object, _Result]]) -> list[_Result]:
    """Do work side by side, all of it; then raise the first of its errors."""
    results = await asyncio.gather(*work, return_exceptions=True)
    done = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        done.append(result)
    return done
