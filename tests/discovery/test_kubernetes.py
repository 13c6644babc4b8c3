"""The backend on Kubernetes, on a real control plane: the suite, and what only it does.

There is no kubelet: the tests write into a pod's status what one would. Everything else is real,
RBAC, the controllers that make EndpointSlices and collect garbage, and every client has the
documented Role and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

import pytest
from scripts.kubernetes.control_plane import ControlPlane

from serinus import Runtime
from serinus.discovery import Change, Discovery, Mirror, kubernetes
from serinus.discovery.kubernetes import Kubernetes
from serinus.discovery.kubernetes_view import LARGEST, entry_name
from serinus.errors import DiscoveryError
from serinus.frontend.frontend import Frontend
from serinus.settings import load
from tests.discovery.contract import KEY, OTHER, PREFIX, BackendContract, kept, until, watched
from tests.discovery.kubernetes_world import KubernetesWorld, granted, plural
from tests.frontend.wire import get_json

pytestmark = pytest.mark.kubernetes


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Run one control plane for all tests."""
    with ControlPlane(tmp_path_factory.mktemp("plane")) as running:
        yield running


@pytest.fixture
async def world(plane: ControlPlane) -> AsyncIterator[KubernetesWorld]:
    """Return a namespace of its own; the API server runs again afterwards."""
    found = await asyncio.to_thread(KubernetesWorld, plane)
    yield found
    await asyncio.to_thread(plane.mend)


class TestKubernetes(BackendContract):
    """The suite over Kubernetes."""


@asynccontextmanager
async def mirrored(world: KubernetesWorld) -> AsyncIterator[tuple[Discovery, Mirror]]:
    """Follow the namespace as a frontend does."""
    async with Discovery(world.client(), lease=world.lease, owner="frontend", seed=1) as frontend:
        mirror = frontend.mirror(PREFIX)
        await until(lambda: mirror.complete)
        yield frontend, mirror


@asynccontextmanager
async def announced(world: KubernetesWorld) -> AsyncIterator[tuple[Discovery, Mirror]]:
    """Announce KEY as a worker does; a frontend follows, and has seen it."""
    worker = Discovery(world.client(), lease=world.lease, owner="worker", seed=2)
    async with mirrored(world) as (_, mirror), worker:
        worker.announce(KEY, b"1")
        await until(lambda: KEY in mirror.entries)
        yield worker, mirror


# --- pods ------------------------------------------------------------------------------------


async def test_a_pod_that_is_deleted_takes_its_entries_along(world: KubernetesWorld) -> None:
    """At once for watchers; and Kubernetes itself collects the objects."""
    backend = world.client()
    worker = backend.session(lease=60)
    async with kept(world) as reader, watched(reader, PREFIX) as seen, worker as session:
        await session.put(KEY, b"1")
        await until(lambda: Change(KEY, b"1") in seen)
        world.delete_pod(backend.pod, at_once=True)
        await until(lambda: Change(KEY, None) in seen)
        await until(lambda: entry_name(KEY) not in world.leases())


async def test_a_pod_that_is_asked_to_end_is_hidden(world: KubernetesWorld) -> None:
    """It still has its grace period, and no new requests."""
    backend = world.client()
    worker = backend.session(lease=60)
    async with kept(world) as reader, watched(reader, PREFIX) as seen, worker as session:
        await session.put(KEY, b"1")
        await until(lambda: Change(KEY, b"1") in seen)
        world.delete_pod(backend.pod, at_once=False)
        await until(lambda: Change(KEY, None) in seen)
        assert entry_name(KEY) in world.leases()


async def test_a_pod_that_is_not_ready_is_hidden_until_it_is(world: KubernetesWorld) -> None:
    """By the pod's own condition, where no Service has it; its own processes see it still."""
    async with kept(world) as reader, watched(reader, PREFIX) as seen:
        backend = world.client()
        async with backend.session(lease=60) as session:
            await session.put(KEY, b"1")
            await until(lambda: Change(KEY, b"1") in seen)
            world.say_ready(backend.pod, ready=False)
            await until(lambda: seen[-1] == Change(KEY, None))
            assert not (await reader.list(PREFIX)).entries
            assert not await reader.create(KEY, b"2")
            assert set((await session.list(PREFIX)).entries) == {KEY}
            world.say_ready(backend.pod, ready=True)
            await until(lambda: seen[-1] == Change(KEY, b"1"))


async def test_an_endpointslice_that_says_ready_counts_more_than_the_pod(
    world: KubernetesWorld,
) -> None:
    """A Service that publishes what is not ready wants it listed; without it, it is hidden."""
    pod = world.make_pod({"app": "worker"})
    port = {"name": "http", "port": 80}
    service = {"selector": {"app": "worker"}, "ports": [port], "publishNotReadyAddresses": True}
    world.call("POST", plural("Service"), {"metadata": {"name": "all"}, "spec": service})
    worker = world.client(pod).session(lease=60)
    async with kept(world) as reader, watched(reader, PREFIX) as seen, worker as session:
        await session.put(KEY, b"1")
        await until(lambda: Change(KEY, b"1") in seen)
        world.say_ready(pod, ready=False)
        world.call("DELETE", f"{plural('Service')}/all")
        await until(lambda: seen[-1] == Change(KEY, None))
        world.call("POST", plural("Service"), {"metadata": {"name": "all"}, "spec": service})
        await until(lambda: seen[-1] == Change(KEY, b"1"))


@pytest.mark.parametrize(
    ("pod", "uid", "told"),
    [
        ("none", "", "there is no pod none; is POD_NAME this pod's?"),
        ("pod-0", "1234", r"the pod pod-0 has the UID .* and not that of POD_UID \(1234\)"),
    ],
)
async def test_a_pod_that_is_not_there_is_named(
    world: KubernetesWorld, pod: str, uid: str, told: str
) -> None:
    """What would be announced would be collected as garbage."""
    world.make_pod()
    backend = Kubernetes(kubeconfig=str(world.config), pod=pod, pod_uid=uid)
    with pytest.raises(DiscoveryError, match=told):
        async with backend.session(lease=3):
            raise AssertionError("connected as a stranger")


async def test_without_a_pod_the_lease_alone_tells(world: KubernetesWorld) -> None:
    """A process outside the cluster, or whose pod's name is not known."""
    async with kept(world) as reader, watched(reader, PREFIX) as seen:
        async with world.client("").session(lease=3) as session:
            assert await session.create(KEY, b"1")
            await until(lambda: Change(KEY, b"1") in seen)
        await until(lambda: Change(KEY, None) in seen)


# --- death and garbage -----------------------------------------------------------------------

WORKER = """
import asyncio, sys
from serinus.discovery import Discovery
from serinus.discovery.kubernetes import Kubernetes

async def main():
    backend = Kubernetes(kubeconfig=sys.argv[1], pod=sys.argv[2])
    async with Discovery(backend, lease=3.0, owner="worker") as connection:
        connection.announce(sys.argv[3], b"1")
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_a_killed_worker_is_gone_within_its_lease(world: KubernetesWorld) -> None:
    """Nobody tells of it: a lease of 3 s, seen to be over within 4.5 s, and nothing is left."""
    loop = asyncio.get_running_loop()
    async with mirrored(world) as (_, mirror):
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WORKER, str(world.config), world.make_pod(), KEY)
        )
        try:
            await until(lambda: KEY in mirror.entries)
            await asyncio.sleep(world.lease)
            assert KEY in mirror.entries
        finally:
            worker.send_signal(signal.SIGKILL)
            died = loop.time()
            await worker.wait()
        await until(lambda: KEY not in mirror.entries)
        took = loop.time() - died
        await until(lambda: len(world.leases()) == 1)  # the frontend's own
    assert took <= world.lease + 1.5
    assert world.leases() == []


async def test_a_worker_that_was_asleep_for_too_long_announces_itself_again(
    world: KubernetesWorld,
) -> None:
    """It went, as it had to; it comes back by itself."""
    async with mirrored(world) as (_, mirror):
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WORKER, str(world.config), world.make_pod(), KEY)
        )
        try:
            await until(lambda: KEY in mirror.entries)
            worker.send_signal(signal.SIGSTOP)
            await until(lambda: KEY not in mirror.entries)
            worker.send_signal(signal.SIGCONT)
            await until(lambda: KEY in mirror.entries)
        finally:
            worker.send_signal(signal.SIGKILL)
            await worker.wait()


async def test_a_reader_that_was_asleep_takes_nobody_down(
    world: KubernetesWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To its clock all leases have run out; the API server knows better, and it lists again."""
    async with kept(world) as reader, kept(world) as writer:
        await writer.put(KEY, b"1")
        listing = await reader.list(PREFIX)
        real = reader._now  # type: ignore[attr-defined]
        monkeypatch.setattr(reader, "_now", lambda: real() + 60)
        with pytest.raises(DiscoveryError, match=r"the watch is (behind|silent)"):
            async with aclosing(reader.watch(PREFIX, listing)) as changes:  # type: ignore[type-var]
                await anext(changes)
        monkeypatch.undo()
        assert set((await writer.list(PREFIX)).entries) == {KEY}


async def test_an_entry_that_somebody_deletes_is_announced_again(
    world: KubernetesWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker looks from time to time whether it is still listed."""
    monkeypatch.setattr(kubernetes, "_AUDIT", 1.0)
    path = f"/apis/coordination.k8s.io/v1/namespaces/{{namespace}}/leases/{entry_name(KEY)}"
    async with announced(world) as (_, mirror):
        world.call("DELETE", path)
        await until(lambda: KEY not in mirror.entries)
        await until(lambda: KEY in mirror.entries)


async def test_a_leader_that_dies_is_followed_by_one_other(world: KubernetesWorld) -> None:
    """Within the lease and a second; what it held goes to the next, and to no two."""
    loop = asyncio.get_running_loop()
    name = "v1/leaders/prober"
    async with AsyncExitStack() as opened:
        backends = [world.client() for _ in range(3)]
        all_ = [
            await opened.enter_async_context(
                Discovery(backend, lease=world.lease, owner=backend.pod, seed=number)
            )
            for number, backend in enumerate(backends)
        ]
        led = [one.lead(name, one.owner.encode()) for one in all_]
        await until(lambda: any(one.held for one in led))
        await asyncio.sleep(world.lease)
        first = next(one for one in led if one.held)
        assert [one.held for one in led].count(True) == 1
        task = all_[led.index(first)]._task
        assert task is not None
        task.cancel()  # it dies as a killed process does
        died = loop.time()
        await until(lambda: any(one.held for one in led if one is not first))
        assert loop.time() - died <= world.lease + 1
        assert [one.held for one in led].count(True) == 1


# --- the API server's troubles ---------------------------------------------------------------


async def test_nothing_is_lost_when_the_api_server_is_killed_and_comes_back(
    world: KubernetesWorld,
) -> None:
    """The view is stale meanwhile, never empty; afterwards all is as it was."""
    keys = {f"{PREFIX}demo/backend/generate/{number:x}" for number in range(5)}
    async with mirrored(world) as (frontend, mirror), AsyncExitStack() as workers:
        for number, key in enumerate(sorted(keys)):
            one = Discovery(world.client(), lease=3.0, owner=f"w{number}", seed=number)
            (await workers.enter_async_context(one)).announce(key, b"1")
        await until(lambda: set(mirror.entries) == keys and mirror.age is None)
        gone: list[Change] = []
        mirror.follow(lambda changes: gone.extend(c for c in changes if c.value is None))
        await world.fail()
        await until(lambda: mirror.age is not None)
        await asyncio.sleep(5)
        assert set(mirror.entries) == keys
        assert frontend.trouble
        await world.restore()
        await until(lambda: mirror.age is None)
        await asyncio.sleep(2 * world.lease)
        assert set(mirror.entries) == keys
        assert gone == []


async def test_an_api_server_that_falls_silent_is_given_up_in_time(world: KubernetesWorld) -> None:
    """Connections stay open and nothing comes: the lease's keeper says so, then all is healed."""
    async with announced(world) as (worker, mirror):
        world.plane.send("kube-apiserver", signal.SIGSTOP)
        await until(lambda: mirror.age is not None and not worker.connected, seconds=5)
        await asyncio.sleep(3)
        assert KEY in mirror.entries
        world.plane.send("kube-apiserver", signal.SIGCONT)
        await until(lambda: mirror.age is None and worker.connected, seconds=30)
        await worker.settled()
        assert KEY in mirror.entries


async def test_a_watch_from_before_what_the_api_server_remembers_says_so(
    world: KubernetesWorld,
) -> None:
    """410 Gone: changes were missed, and a listing heals it."""
    async with world.client().session(lease=60) as before:
        listing = await before.list(PREFIX)
        await before.put(KEY, b"1")
        await world.fail()
        await world.restore()
        async with world.client().session(lease=60) as session:
            changes = session.watch(PREFIX, listing)
            with pytest.raises(DiscoveryError, match="too old resource version"):
                await anext(changes)


async def test_a_token_that_was_replaced_is_read_again(
    world: KubernetesWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pod the kubelet replaces the ServiceAccount's token; the old one is refused some day."""
    world.call("POST", plural("Secret"), {"metadata": {"name": "old"}})
    bound = {"kind": "Secret", "apiVersion": "v1", "name": "old"}
    (tmp_path / "token").write_text(world.token(bound_to=bound))
    (tmp_path / "namespace").write_text(world.namespace)
    (tmp_path / "ca.crt").write_bytes(world.plane.authority.read_bytes())
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", world.plane.server.rpartition(":")[2])
    backend = Kubernetes(account=tmp_path)
    async with backend.session(lease=3) as session:
        assert f"namespace {world.namespace} at https://127.0.0.1" in backend.place
        (tmp_path / "token").write_text(world.token())
        world.call("DELETE", f"{plural('Secret')}/old")
        keeper = asyncio.create_task(session.keep(), name="keeper")
        await asyncio.sleep(12)  # the API server believes a token for ten seconds more
        await session.put(KEY, b"1")
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)


async def test_a_token_that_is_not_accepted_is_told_of(world: KubernetesWorld) -> None:
    """Who asks is told what to look at, and the token is not shown."""
    config = world.plane.kubeconfig("nobody", token="secret-word", namespace=world.namespace)
    with pytest.raises(DiscoveryError, match="401: who we are is not accepted") as error:
        async with Kubernetes(kubeconfig=str(config)).session(lease=3):
            raise AssertionError("connected as nobody")
    assert "secret-word" not in str(error.value)


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(("group", "resource", "verb"), granted())
async def test_every_verb_of_the_role_is_needed_and_its_lack_is_named(
    plane: ControlPlane, group: str, resource: str, verb: str
) -> None:
    """With one verb less something fails, and the error says which one, and where the Role is."""
    del group
    world = await asyncio.to_thread(KubernetesWorld, plane, without=(resource, verb))
    told = rf"cannot {verb} resource \"{resource}\".*docs/discovery-kubernetes\.md"
    async with asyncio.timeout(30):
        with pytest.raises(DiscoveryError, match=told):
            await _do_everything(world.client())


async def _do_everything(backend: Kubernetes) -> None:
    async with backend.session(lease=2) as session:
        await session.create(KEY, b"1")
        await session.put(KEY, b"2")
        listing = await session.list(PREFIX)
        await session.delete(KEY)
        async with aclosing(session.watch(PREFIX, listing)) as changes:  # type: ignore[type-var]
            assert await anext(changes) == Change(KEY, None)
        await session.keep()


async def test_an_entry_that_is_too_large_is_refused_and_others_are_not(
    world: KubernetesWorld,
) -> None:
    """What is just small enough is taken by the API server."""
    async with kept(world) as session:
        with pytest.raises(DiscoveryError, match=f"Kubernetes takes {LARGEST} in all"):
            await session.put(KEY, b"x" * LARGEST)
        await session.put(OTHER, b"x" * (LARGEST - 256))
        assert set((await session.list(PREFIX)).entries) == {OTHER}


async def test_bytes_that_are_no_text_are_stored_and_replaced(world: KubernetesWorld) -> None:
    """Either form takes the other's place."""
    async with kept(world) as session:
        await session.put(OTHER, b"\xff")
        assert (await session.list(OTHER)).entries == {OTHER: b"\xff"}
        await session.delete(OTHER)
        for value in (b"text", b"\xff\x00", b"text again", "é\x85\u2028".encode()):
            await session.put(KEY, value)
            assert (await session.list(PREFIX)).entries == {KEY: value}


async def test_a_foreign_object_under_our_label_is_skipped_and_named_once(
    world: KubernetesWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """It does no harm, and the log has its name."""
    path = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    labels = {"serinus/bucket": "v1.instances"}
    backend = world.client()
    async with backend.session(lease=60) as session:
        await session.put(KEY, b"1")
        world.call("POST", path, {"metadata": {"name": "foreign", "labels": labels}, "spec": {}})
        with caplog.at_level(logging.WARNING, logger="serinus"):
            for _ in range(2):
                assert set((await session.list(PREFIX)).entries) == {KEY}
        assert backend.foreign.now == {"foreign": "no annotation serinus/key"}
        async with watched(session, PREFIX):
            world.call("DELETE", f"{path}/foreign")
            await until(lambda: not backend.foreign.now)
    assert backend.foreign.seen == 1
    assert len([r for r in caplog.records if "skipped the Lease foreign" in r.message]) == 1


async def test_versions_are_those_that_the_server_has(world: KubernetesWorld) -> None:
    """This one has EndpointSlices in v1beta1 alone."""
    async with world.client().session(lease=3) as session:
        assert session._paths.slices is not None
        assert "discovery.k8s.io/v1beta1" in session._paths.slices


# --- all of it, by one variable ----------------------------------------------------------------

LIBRARY = """
import asyncio
from serinus import Runtime

async def generate(request):
    yield {"token_ids": [7]}

async def main():
    async with Runtime() as runtime:
        await runtime.endpoint("demo.backend.generate").serve_endpoint(generate)

asyncio.run(main())
"""


async def test_a_worker_of_the_library_is_found_called_and_missed(world: KubernetesWorld) -> None:
    """By `DYN_DISCOVERY_BACKEND` and what the pod says of itself; killed, it is gone in time."""
    loop = asyncio.get_running_loop()
    said = {
        "DYN_DISCOVERY_BACKEND": "kubernetes",
        "SERINUS_DISCOVERY_LEASE": "3s",
        "KUBECONFIG": str(world.config),
        "POD_NAMESPACE": world.namespace,
        "SERINUS_RPC_HOST": "127.0.0.1",
    }
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LIBRARY), env=os.environ | said | {"POD_NAME": world.make_pod()}
    )
    try:
        frontend = Runtime(load(environ=said).settings)
        async with frontend, frontend.endpoint("demo.backend.generate").client() as client:
            await client.wait_for_instances()
            answer = await client.round_robin({"token_ids": [1]}, deadline=10)
            assert [item async for item in answer] == [{"token_ids": [7]}]
            worker.send_signal(signal.SIGKILL)
            died = loop.time()
            await until(lambda: not client.instances())
            assert loop.time() - died <= 4.5
    finally:
        if worker.returncode is None:
            worker.send_signal(signal.SIGKILL)
        await worker.wait()


async def test_a_frontend_lists_who_serves_and_says_why_another_does_not(
    world: KubernetesWorld,
) -> None:
    """Over HTTP: listed; withdrawn with its reason when its canary fails; back; gone at its end."""
    said = {
        "DYN_DISCOVERY_BACKEND": "kubernetes",
        "SERINUS_DISCOVERY_LEASE": "10s",
        "KUBECONFIG": str(world.config),
        "POD_NAMESPACE": world.namespace,
        "DYN_HTTP_PORT": "0",
        "DYN_HTTP_HOST": "127.0.0.1",
    }
    quick = {
        "DYN_HEALTH_CHECK_ENABLED": "true",
        "DYN_CANARY_WAIT_TIME": "200ms",
        "DYN_HEALTH_CHECK_REQUEST_TIMEOUT": "500ms",
        "SERINUS_RPC_HOST": "127.0.0.1",
        "SERINUS_MODEL": "tiny",
        "POD_NAME": world.make_pod(),
    }
    script = Path(__file__).parents[1] / "frontend" / "library_worker.py"
    worker = await asyncio.create_subprocess_exec(
        *(sys.executable, script), env=os.environ | said | quick, stdin=asyncio.subprocess.PIPE
    )
    assert worker.stdin is not None
    try:
        async with Frontend(load(environ=said).settings, handle_signals=False) as frontend:

            async def shown(code: int, reasons: list[str]) -> int:
                """Wait for a state of the model; return how many instances are listed."""
                async with asyncio.timeout(60):
                    while True:
                        ready, _ = await get_json(frontend.address, "/v1/models/tiny/ready")
                        _, told = await get_json(frontend.address, "/health?verbose")
                        amiss = [one["reason"] for one in told.get("details", {})["not_ready"]]
                        if (ready, amiss) == (code, reasons):
                            _, told = await get_json(frontend.address, "/health")
                            return len(told["instances"])
                        await asyncio.sleep(0.05)

            assert await shown(200, []) == 1
            worker.stdin.write(b"hang\n")
            assert await shown(503, ["canary_timeout"]) == 0
            worker.stdin.write(b"go\n")
            assert await shown(200, []) == 1
            worker.send_signal(signal.SIGTERM)
            assert await shown(404, []) == 0
    finally:
        if worker.returncode is None:
            worker.send_signal(signal.SIGKILL)
        await worker.wait()
