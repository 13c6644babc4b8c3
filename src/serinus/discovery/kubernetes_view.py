"""What Kubernetes objects say of entries and of who holds them. Pure: no clock, no I/O.

A *session* is a Lease object that its owner renews; an *entry* is a Lease object that holds a key
and a value in its annotations and names the session it belongs to. An entry counts while its
session does, and is shown while the session's pod, if it has one, is there and ready.

No wall clock is read: a session's age is the reader's own time since it last saw the object change.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from serinus.errors import DiscoveryError, excerpt

__all__ = [
    "BUCKET",
    "LARGEST",
    "SESSIONS",
    "Ages",
    "Entry",
    "Holder",
    "Json",
    "Pods",
    "View",
    "bucket_of",
    "entry_metadata",
    "entry_name",
    "holder_of",
    "renewal",
    "selector",
    "session_body",
    "session_of",
]

Json: TypeAlias = Mapping[str, Any]

BUCKET = "serinus/bucket"
"""Label: what kind of entry a Lease object holds, or SESSIONS."""
SESSIONS = "sessions"
LARGEST = 256 * 1024
"""Bytes that all annotations of an object may have together, names and values (validation of
ObjectMeta in k8s.io/apimachinery: TotalAnnotationSizeLimitB)."""

_KEY = "serinus/key"
_VALUE = "serinus/value"
_BINARY = "serinus/value-base64"
_HOLDER = "serinus/session"
_POD = "serinus/pod"
_SECONDS = "serinus/lease-seconds"
_RENEWALS = "serinus/renewals"
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
"""What may be asked for by its path: objects of others are not to say what we delete."""
_LONGEST = 86400.0
"""Seconds of a lease that are believed."""


# --- what is written -------------------------------------------------------------------------


def entry_name(key: str) -> str:
    """Return the name of the one object that may hold a key.

    >>> entry_name("v1/instances/demo/backend/generate/1f")
    'serinus-entry-867aebcda12f455dd5edade8'
    """
    return "serinus-entry-" + hashlib.sha256(key.encode()).hexdigest()[:24]


def bucket_of(key: str) -> str | None:
    """Return the label of a key's bucket; None where a prefix is shorter than a bucket.

    >>> bucket_of("v1/instances/demo/")
    'v1.instances'
    >>> bucket_of("v1/inst")
    """
    first, slash, rest = key.partition("/")
    second, end, _ = rest.partition("/")
    if not slash or not end:
        return None
    label = f"{first}.{second}"
    return label if _LABEL.fullmatch(label) else "other"


def selector(prefix: str) -> str:
    """Return the label selector of all that has to be seen to know what is under a prefix.

    >>> selector("v1/instances/")
    'serinus/bucket in (sessions,v1.instances)'
    """
    bucket = bucket_of(prefix)
    return BUCKET if bucket is None else f"{BUCKET} in ({SESSIONS},{bucket})"


def entry_metadata(key: str, value: bytes, *, session: str, owners: list[Json]) -> dict[str, Any]:
    """Return the metadata of an entry's object.

    It has both forms of the value, one of them null, as a patch has to replace either. Raises
    DiscoveryError if it is more than an object may carry.
    """
    try:
        text: str | None = value.decode()
        binary = None
    except UnicodeDecodeError:
        text, binary = None, base64.b64encode(value).decode()
    annotations = {_KEY: key, _HOLDER: session, _VALUE: text, _BINARY: binary}
    size = sum(len(k.encode()) + len((v or "").encode()) for k, v in annotations.items())
    if size > LARGEST:
        raise DiscoveryError(
            f"{excerpt(key)}: the entry has {len(value)} bytes, {size} with its annotations; "
            f"Kubernetes takes {LARGEST} in all annotations of an object"
        )
    return {
        "name": entry_name(key),
        "labels": {BUCKET: bucket_of(key) or "other"},
        "annotations": annotations,
        "ownerReferences": owners,
    }


def session_body(
    name: str, *, holder: str, lease: float, pod: str, owners: list[Json]
) -> dict[str, Any]:
    """Return the metadata and the spec of a session's object."""
    return {
        "metadata": {
            "name": name,
            "labels": {BUCKET: SESSIONS},
            "annotations": {_SECONDS: repr(lease), _POD: pod},
            "ownerReferences": owners,
        },
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": max(1, math.ceil(lease))},
    }


def renewal(*, number: int, moment: str) -> dict[str, Any]:
    """Return the patch that renews a session.

    The moment is for people and for tools that know Lease objects; the number makes every renewal
    a change, whatever the clock says.
    """
    return {
        "metadata": {"annotations": {_RENEWALS: str(number)}},
        "spec": {"renewTime": moment},
    }


# --- what is read ----------------------------------------------------------------------------


class Entry(NamedTuple):
    """A key and its value, as an object holds them."""

    key: str
    value: bytes
    session: str
    version: str


@dataclass(slots=True)
class Holder:
    """A session: when it was last seen to be renewed, by the reader's clock."""

    seconds: float
    pod: str
    pod_uid: str
    version: str
    seen: float = 0.0

    @property
    def due(self) -> float:
        """When it is over unless it is renewed before."""
        return self.seen + self.seconds


def _entry(item: Json) -> Entry:
    """Return the entry that a Lease object holds; ValueError says what is wrong with it."""
    metadata = item["metadata"]
    notes = metadata.get("annotations") or {}
    for name in (_KEY, _HOLDER):
        if name not in notes:
            raise ValueError(f"no annotation {name}")
    key = notes[_KEY]
    if entry_name(key) != metadata["name"]:
        raise ValueError(f"its name is not that of the key {excerpt(key)}")
    if _VALUE in notes:
        value = notes[_VALUE].encode()
    elif _BINARY in notes:
        try:
            value = base64.b64decode(notes[_BINARY], validate=True)
        except binascii.Error as error:
            raise ValueError(f"annotation {_BINARY}: {error}") from error
    else:
        raise ValueError(f"no annotation {_VALUE}")
    session = session_of(item)
    if not session:
        raise ValueError(f"annotation {_HOLDER}: {excerpt(notes[_HOLDER])} is no object's name")
    return Entry(key, value, session, metadata["resourceVersion"])


def session_of(item: Json) -> str:
    """Return the session that an entry's object names; nothing if that is no object's name."""
    name = (item["metadata"].get("annotations") or {}).get(_HOLDER, "")
    return name if _NAME.fullmatch(name) else ""


def holder_of(item: Json) -> Holder:
    """Return the session that a Lease object is; ValueError says what is wrong with it."""
    metadata = item["metadata"]
    notes = metadata.get("annotations") or {}
    try:
        seconds = float(notes[_SECONDS])
    except (KeyError, ValueError) as error:
        raise ValueError(f"annotation {_SECONDS}: {excerpt(error)}") from error
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f"annotation {_SECONDS}: {seconds} is not within 0 and {_LONGEST:.0f}")
    owners = metadata.get("ownerReferences") or ()
    uid = next((owner["uid"] for owner in owners if owner.get("kind") == "Pod"), "")
    return Holder(seconds, notes.get(_POD, ""), uid, metadata["resourceVersion"])


@dataclass(slots=True)
class Pods:
    """What the kubelet and the control plane say of pods."""

    _pods: dict[str, _Pod] = field(default_factory=dict)
    _slices: dict[str, dict[str, bool]] = field(default_factory=dict)
    _gone: dict[str, None] = field(default_factory=dict)
    """UIDs of pods that were there: a session may be heard of before its pod."""

    def pods_listed(self, items: Iterable[Json]) -> set[str]:
        """Take all pods; return the names of those that it may matter to, as the others do."""
        pods = {item["metadata"]["name"]: _pod(item) for item in items}
        for name, pod in self._pods.items():
            if name not in pods or pods[name].uid != pod.uid:
                self._bury(pod.uid)
        touched = pods.keys() | self._pods.keys()
        self._pods = pods
        return touched

    def pod_changed(self, item: Json, *, deleted: bool) -> set[str]:
        """Take one pod's change."""
        name, pod = item["metadata"]["name"], _pod(item)
        before = self._pods.get(name)
        if before is not None and before.uid != pod.uid:
            self._bury(before.uid)
        if not deleted:
            self._pods[name] = pod
        elif before is None or before.uid == pod.uid:
            self._pods.pop(name, None)
            self._bury(pod.uid)
        return {name} if deleted or before != pod else set()

    def slices_listed(self, items: Iterable[Json]) -> set[str]:
        """Take all EndpointSlices."""
        before = self._slices
        self._slices = {item["metadata"]["name"]: _endpoints(item) for item in items}
        return {pod for ready in (*before.values(), *self._slices.values()) for pod in ready}

    def slice_changed(self, item: Json, *, deleted: bool) -> set[str]:
        """Take one EndpointSlice's change."""
        name = item["metadata"]["name"]
        before = self._slices.pop(name, {})
        after = {} if deleted else _endpoints(item)
        if not deleted:
            self._slices[name] = after
        return {pod for pod in before.keys() | after.keys() if before.get(pod) != after.get(pod)}

    def gone(self, holder: Holder) -> bool:
        """Whether a session's pod is no more."""
        return bool(holder.pod_uid) and holder.pod_uid in self._gone

    def serves(self, holder: Holder) -> bool:
        """Whether a session's pod is there and meant for traffic.

        EndpointSlices decide where any has the pod: they know of readiness gates, and of Services
        that publish what is not ready. Elsewhere the pod's own condition does. Where there is no
        word, there is no objection.
        """
        pod = self._pods.get(holder.pod)
        if self.gone(holder):
            return False
        if pod is None or pod.uid != holder.pod_uid:
            return True
        if pod.over:
            return False
        said = [ready[holder.pod] for ready in self._slices.values() if holder.pod in ready]
        return any(said) if said else pod.ready is not False

    def _bury(self, uid: str) -> None:
        self._gone[uid] = None
        while len(self._gone) > _REMEMBERED:
            del self._gone[next(iter(self._gone))]


_REMEMBERED = 4096
"""Pods that are gone and remembered."""


class _Pod(NamedTuple):
    uid: str
    over: bool
    ready: bool | None


def _pod(item: Json) -> _Pod:
    metadata, status = item["metadata"], item.get("status") or {}
    over = "deletionTimestamp" in metadata or status.get("phase") in ("Failed", "Succeeded")
    conditions = status.get("conditions") or ()
    ready = next((c.get("status") == "True" for c in conditions if c.get("type") == "Ready"), None)
    return _Pod(metadata["uid"], over, ready)


def _endpoints(item: Json) -> dict[str, bool]:
    """Return the pods of a slice, and whether each is ready at any of its addresses."""
    found: dict[str, bool] = {}
    for endpoint in item.get("endpoints") or ():
        target = endpoint.get("targetRef") or {}
        if target.get("kind") != "Pod":
            continue
        # Nothing said is to be taken for ready: the API's own rule for this field.
        ready = (endpoint.get("conditions") or {}).get("ready") is not False
        found[target["name"]] = found.get(target["name"], False) or ready
    return found


_RECONNECTING = 6.0
"""Seconds: the longest wait between two tries to connect (`connection.py`), and one try."""


class Ages:
    """Since when each session has been as it is, by the reader's clock: it outlives listings."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, float]] = {}

    def seen(self, name: str, version: str, *, now: float, listed: bool) -> float:
        """Return when this version was first seen.

        What is `listed` and was not known before may be of an owner that has been kept from
        renewing by the same trouble as the reader: it has as long as reconnecting may take.
        """
        known = self._seen.get(name)
        if known is None or known[0] != version:
            late = _RECONNECTING if listed and known is None else 0.0
            known = self._seen[name] = (version, now + late)
        return known[1]

    def forget(self, name: str) -> None:
        """Remember one no longer."""
        self._seen.pop(name, None)

    def keep(self, names: Container[str]) -> None:
        """Remember these alone."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in names}


class View:
    """Sessions, and entries under a prefix, as Lease objects show them."""

    def __init__(self, prefix: str, ages: Ages, pods: Pods, *, pod: str = "") -> None:
        """Make an empty one; `pod` is the reader's own, of which the kubelet's word is no news."""
        self.prefix = prefix
        self.holders: dict[str, Holder] = {}
        self.wrong: dict[str, str] = {}
        """Objects that cannot be understood, and why."""
        self._entries: dict[str, Entry] = {}
        self._named: dict[str, str] = {}
        self._keys: dict[str, set[str]] = {}
        self._ages = ages
        self._pods = pods
        self._pod = pod

    def listed(self, items: Iterable[Json], *, now: float) -> None:
        """Take all Lease objects, once."""
        for item in items:
            self.changed(item, deleted=False, now=now, listed=True)
        self._ages.keep(self.holders)

    def changed(self, item: Json, *, deleted: bool, now: float, listed: bool = False) -> set[str]:
        """Take one Lease object's change; return the keys that it may matter to."""
        name = item["metadata"]["name"]
        touched = self._forget(name)
        self.wrong.pop(name, None)
        try:
            if (item["metadata"].get("labels") or {}).get(BUCKET) == SESSIONS:
                if deleted:
                    return self.lost(name)
                holder = holder_of(item)
                holder.seen = self._ages.seen(name, holder.version, now=now, listed=listed)
                return self._renewed(name, holder)
            entry = _entry(item)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if not deleted:
                self.wrong[name] = excerpt(error)
            return touched
        if deleted or not entry.key.startswith(self.prefix):
            return touched
        self._entries[entry.key] = entry
        self._named[name] = entry.key
        self._keys.setdefault(entry.session, set()).add(entry.key)
        return touched | {entry.key}

    def lost(self, session: str) -> set[str]:
        """Take it that a session is over; return the keys that it matters to."""
        self.holders.pop(session, None)
        self._ages.forget(session)
        return set(self._keys.get(session, ()))

    def belongings(self, session: str) -> list[Entry]:
        """Return the entries of a session."""
        return [self._entries[key] for key in self._keys.get(session, ())]

    def keys(self) -> set[str]:
        """Return the keys of all entries, shown or not."""
        return set(self._entries)

    def in_pods(self, pods: Container[str]) -> set[str]:
        """Return the keys of the entries of sessions in these pods."""
        holders = (name for name, holder in self.holders.items() if holder.pod in pods)
        return {key for name in holders for key in self._keys.get(name, ())}

    def value(self, key: str) -> bytes | None:
        """Return the value of a key that is shown."""
        entry = self._entries.get(key)
        holder = None if entry is None else self.holders.get(entry.session)
        if entry is None or holder is None:
            return None
        ours = bool(self._pod) and holder.pod == self._pod and not self._pods.gone(holder)
        return entry.value if ours or self._pods.serves(holder) else None

    def entries(self, *, now: float) -> dict[str, bytes]:
        """Return all that is shown, and whose session is not due to be over."""
        shown = {}
        for key, entry in self._entries.items():
            value = self.value(key)
            if value is not None and self.holders[entry.session].due > now:
                shown[key] = value
        return shown

    def due(self, *, now: float) -> tuple[list[str], float | None]:
        """Return the sessions that should be over by now, and when the next one will be."""
        over = [name for name, holder in self.holders.items() if holder.due <= now]
        later = (holder.due for holder in self.holders.values() if holder.due > now)
        return over, min(later, default=None)

    def _renewed(self, name: str, holder: Holder) -> set[str]:
        known = name in self.holders
        self.holders[name] = holder
        return set() if known else set(self._keys.get(name, ()))

    def _forget(self, name: str) -> set[str]:
        """Forget the entry that an object held; return its key."""
        key = self._named.pop(name, None)
        if key is None:
            return set()
        session = self._entries.pop(key).session
        self._keys[session].discard(key)
        if not self._keys[session]:
            del self._keys[session]
        return {key}
