"""The backend in files, by the suite that all backends have to pass, and what only it can do."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from serinus.discovery import Change, Session
from serinus.discovery.file import File, from_settings
from serinus.errors import DiscoveryError
from serinus.settings import Settings
from tests.discovery.contract import KEY, OTHER, PREFIX, BackendContract, World, until, watched

pytestmark = pytest.mark.real_time

NAME = "demo%2Fbackend%2Fgenerate%2F1f"
REFERENCE = (
    b'{"type":"Endpoint","component":"backend","endpoint":"generate","namespace":"demo",'
    b'"instance_id":31,"transport":{"tcp":"127.0.0.1:1/1f/demo/backend/generate"}}'
)


class FileWorld(World):
    """A directory."""

    lease = 3.0  # a busy disk may not answer for a second
    late = 1.0

    def __init__(self, root: Path) -> None:
        self.root = root
        self.away = root.with_name("away")

    def client(self) -> File:
        """Return a backend of its own, as another process has."""
        return File(self.root)

    async def fail(self) -> None:
        """Have something else lie where the directory was."""
        if self.root.exists():
            self.root.rename(self.away)
        self.root.touch()

    async def restore(self) -> None:
        """Bring the directory back."""
        self.root.unlink()
        self.away.rename(self.root)


@pytest.fixture
async def world(tmp_path: Path) -> FileWorld:
    """Return a directory of its own for each test."""
    return FileWorld(tmp_path / "kv")


class TestFile(BackendContract):
    """The suite over files."""


@asynccontextmanager
async def kept(backend: File, *, lease: float = FileWorld.lease) -> AsyncIterator[Session]:
    """Open a session whose lease is kept."""
    async with backend.session(lease=lease) as session, asyncio.TaskGroup() as group:
        keeper = group.create_task(session.keep(), name="keeper")
        yield session
        keeper.cancel()


async def test_the_layout_is_the_references(world: FileWorld) -> None:
    """Bucket, percent-encoded name, and an object that has one more member."""
    async with kept(world.client(), lease=2.5) as session:
        await session.put(KEY, REFERENCE)
        there = json.loads((world.root / "v1/instances" / NAME).read_bytes())
        lease, writer = there.pop("serinus_lease")
        assert there == json.loads(REFERENCE)
        assert lease == 2.5
        assert len(writer) == 16
        assert [path.name for path in (world.root / "v1/instances").iterdir()] == [NAME]


async def test_a_record_of_the_reference_is_listed_for_its_ten_seconds(world: FileWorld) -> None:
    """It has no lease of ours, and was touched eight seconds ago when it is first seen."""
    bucket = world.root / "v1/instances"
    async with kept(world.client()) as session:
        await session.put(OTHER, b"1")
        (bucket / NAME).write_bytes(REFERENCE)
        old = time.time() - 8  # what its own clock has, as the reference writes it
        os.utime(bucket / NAME, (old, old))
        async with kept(world.client()) as reader, watched(reader, PREFIX) as seen:
            assert (await reader.list(PREFIX)).entries == {KEY: REFERENCE, OTHER: b"1"}
            await until(lambda: Change(KEY, None) in seen, seconds=6)
            os.utime(bucket / NAME)
            await until(lambda: Change(KEY, REFERENCE) in seen)


async def test_what_the_dead_left_is_removed_by_who_watches(world: FileWorld) -> None:
    """Also a file that was never finished; what is alive stays."""
    bucket = world.root / "v1/instances"
    async with kept(world.client()) as worker, kept(world.client()) as reader:
        await worker.put(OTHER, b"alive")
        async with world.client().session(lease=1) as dying:
            await dying.put(KEY, b"dead")
            async with watched(reader, PREFIX) as seen:
                await until(lambda: Change(KEY, None) in seen)
                await until(lambda: not (bucket / NAME).exists())
        assert [path.name for path in bucket.iterdir()] == [NAME.replace("1f", "20")]


async def test_a_dead_holders_key_is_created_by_one_of_many(world: FileWorld) -> None:
    """As many as want it at once; nobody before the lease is over."""
    async with world.client().session(lease=1) as dying:
        await dying.put(KEY, b"dead")
        died = time.monotonic()
        won: list[bytes] = []

        async def want(name: bytes) -> None:
            async with kept(world.client()) as session:
                while not await session.create(KEY, name):
                    if won:
                        return
                    await asyncio.sleep(0.01)
                won.append(name)
                assert time.monotonic() - died >= 1
                await asyncio.sleep(FileWorld.lease + 0.5)
                assert (await session.list(KEY)).entries == {KEY: name}

        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(want(b"%d" % number), name=f"contender {number}")
        assert len(won) == 1


async def test_a_holder_whose_file_was_taken_knows_it_at_its_next_beat(world: FileWorld) -> None:
    """It does not touch what is another's."""
    async with world.client().session(lease=3) as session:
        await session.put(KEY, b"mine")
        keeper = asyncio.create_task(session.keep(), name="keeper")
        await asyncio.sleep(0.1)
        (world.root / "v1/instances" / NAME).write_bytes(b"other")
        with pytest.raises(DiscoveryError, match="removed, or taken by another process"):
            await asyncio.wait_for(keeper, 20)
    assert (world.root / "v1/instances" / NAME).read_bytes() == b"other"  # not taken back either


async def test_a_holder_that_was_held_up_for_a_lease_fails(
    world: FileWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may have seen its entries go."""
    async with world.client().session(lease=1) as session:
        await session.put(KEY, b"1")
        keeper = asyncio.create_task(session.keep(), name="keeper")
        await asyncio.sleep(0.1)
        time.sleep(1.2)  # noqa: ASYNC251 - the loop is blocked, as by a program that computes
        with pytest.raises(DiscoveryError, match="held up for 1"):
            await asyncio.wait_for(keeper, 20)


async def test_nobody_is_dead_because_the_reader_did_not_look(world: FileWorld) -> None:
    """A reader that was held up gives everybody the time for a beat."""
    async with kept(world.client(), lease=9) as reader, world.client().session(lease=2) as worker:
        await worker.put(KEY, b"1")
        async with watched(reader, PREFIX) as seen:
            await asyncio.sleep(0.5)
            # Nobody touches and nobody looks, as on a machine that was paused.
            time.sleep(2.5)  # noqa: ASYNC251
            await asyncio.sleep(0.4)
            os.utime(world.root / "v1/instances" / NAME)
            await asyncio.sleep(1.0)
            assert seen == []


async def test_a_jump_of_the_wall_clock_removes_nobody(world: FileWorld) -> None:
    """Whoever is touched is alive, whether to the time of tomorrow or of last year."""
    path = world.root / "v1/instances" / NAME
    async with kept(world.client()) as reader, world.client().session(lease=1) as worker:
        await worker.put(KEY, b"1")
        async with watched(reader, PREFIX) as seen:
            for jump in (0.0, 1e6, -1e6, -1e7, 1e7, 0.0):
                moment = time.time() + jump
                os.utime(path, (moment, moment))
                await asyncio.sleep(0.5)
            assert seen == []


async def test_what_is_no_record_is_left_out(
    world: FileWorld, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Links are not followed, pipes not waited for; what cannot be read is named once."""
    bucket = world.root / "v1/instances"
    (tmp_path / "secret").write_text("secret")
    with caplog.at_level(logging.WARNING, logger="serinus"):
        async with kept(world.client()) as session:
            await session.put(OTHER, b"1")
            (bucket / NAME).symlink_to(tmp_path / "secret")
            os.mkfifo(bucket / "a%2Fb%2Fc%2F1")
            (bucket / "a%2Fb%2Fc%2F2").mkdir()
            (bucket / "a%FFb").write_text("no text")
            (bucket / "a%2Fb%2Fc%2F3").write_bytes(b"x" * (4 * 2**20 + 1))
            backend = world.client()
            async with kept(backend) as reader:
                for _ in range(3):
                    assert set((await reader.list(PREFIX)).entries) == {OTHER}
                assert backend.foreign.now == {
                    "v1/instances/a%FFb": "its name is no key",
                    "v1/instances/a%2Fb%2Fc%2F3": f"it is larger than {4 * 2**20} bytes",
                }
                (bucket / "a%FFb").unlink()
                (bucket / "a%2Fb%2Fc%2F3").write_bytes(b"{}")
                await reader.list(PREFIX)
                assert (backend.foreign.now, backend.foreign.seen) == ({}, 2)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert any("a%FFb is left out: its name is no key" in line for line in told)
    assert any("a%2Fb%2Fc%2F3 is left out: it is larger than" in line for line in told)


async def test_corrupt_content_is_passed_on_for_others_to_name(world: FileWorld) -> None:
    """What a record means is not this backend's business."""
    async with kept(world.client()) as session:
        await session.put(OTHER, b"1")
        (world.root / "v1/instances" / NAME).write_bytes(b'{"serinus_lease":[3,"x"]}')
        assert (await session.list(KEY)).entries == {KEY: b'{"serinus_lease":[3,"x"]}'}


async def test_files_are_as_open_as_the_directory(world: FileWorld) -> None:
    """Ours are for this user alone; in a directory that was made for a group, for the group."""
    async with kept(world.client()) as session:
        await session.put(KEY, b"1")
    async with kept(world.client()) as session:
        await session.put(KEY, b"1")
        assert stat.S_IMODE(world.root.stat().st_mode) == 0o700
        assert stat.S_IMODE((world.root / "v1/instances" / NAME).stat().st_mode) == 0o600
    shared = world.root.with_name("shared")
    shared.mkdir()
    shared.chmod(0o2775)
    async with kept(File(shared)) as session:
        await session.put(KEY, b"1")
        assert stat.S_IMODE((shared / "v1/instances").stat().st_mode) == 0o2775
        assert stat.S_IMODE((shared / "v1/instances" / NAME).stat().st_mode) == 0o664


async def test_a_directory_of_strangers_where_everyone_writes_is_refused(tmp_path: Path) -> None:
    """Nor is a link of theirs followed."""
    if os.geteuid() != 0:
        pytest.skip("only root can make files of another user")
    for name in ("theirs", "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for name in ("theirs", "link"):
        os.chown(tmp_path / name, 12345, 12345, follow_symlinks=False)
    os.chmod(tmp_path, 0o1777)  # noqa: PTH101 - no other way in an async test
    for name in ("theirs", "link"):
        with pytest.raises(DiscoveryError, match=r"belongs to another user \(12345\).*DYN_FILE_KV"):
            async with File(tmp_path / name).session(lease=1):
                raise AssertionError("used what strangers made")
    async with File(tmp_path / "mine").session(lease=1) as session:
        await session.put(KEY, b"1")


async def test_a_file_system_that_hangs_holds_one_thread_and_not_one_for_each_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every try says that there is no answer; when there is one again, the next try has it."""
    answers = threading.Event()
    look = Path.is_dir

    def hang(path: Path) -> bool:
        answers.wait()
        return look(path)

    backend = File(tmp_path / "kv")
    monkeypatch.setattr(Path, "is_dir", hang)
    try:
        for _ in range(5):
            with pytest.raises(DiscoveryError, match=r"did not answer for 0\.2 s"):
                async with backend.session(lease=0.2):
                    raise AssertionError("used what does not answer")
        names = [thread.name for thread in threading.enumerate()]
        assert len([name for name in names if name.startswith("serinus-discovery")]) == 1
    finally:
        answers.set()
    async with backend.session(lease=5) as session:
        await session.put(KEY, b"1")
        assert (await session.list(KEY)).entries == {KEY: b"1"}


async def test_a_file_system_that_hangs_does_not_keep_a_process_from_ending(tmp_path: Path) -> None:
    """Its thread is left where it is."""
    code = (
        "import asyncio, pathlib, sys, time\n"
        "from serinus.discovery.file import File\n"
        "from serinus.errors import DiscoveryError\n"
        "pathlib.Path.is_dir = lambda _: time.sleep(3600)\n"
        "async def main():\n"
        "    async with File(pathlib.Path(sys.argv[1])).session(lease=0.2):\n"
        "        pass\n"
        "try:\n"
        "    asyncio.run(main())\n"
        "except DiscoveryError as error:\n"
        "    print(error)\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, str(tmp_path / "kv")), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, b"did not answer for 0.2 s" in said) == (0, True)


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """What was asked for, and what the system says."""
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "kv", Path("/proc/no/such")):
        with pytest.raises(DiscoveryError, match=f"files in {root}: cannot be used: "):
            async with File(root).session(lease=1):
                raise AssertionError("used what cannot be")


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 64 KiB."""
    place = tmp_path / "tiny"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system can only be mounted by root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


async def test_on_a_full_disk_what_is_stored_stays_and_what_is_new_is_refused(tiny: Path) -> None:
    """Touching takes no room. The error says what is missing; room again, and it is stored."""
    backend = File(tiny)
    async with kept(backend) as session, kept(File(tiny)) as reader:
        await session.put(KEY, b"1")
        _fill(tiny / "ballast")
        async with watched(reader, PREFIX) as seen:
            for call in (session.put(OTHER, b"2"), session.create(OTHER, b"2")):
                with pytest.raises(DiscoveryError, match=r"cannot store v1/\S+: No space left"):
                    await call
            async with kept(backend) as again:
                assert not await again.create(KEY, b"1")
                await again.put(KEY, b"1")
                await asyncio.sleep(FileWorld.lease + 0.5)
            await until(lambda: Change(KEY, None) in seen)  # it was the last one's
        (tiny / "ballast").unlink()
        await asyncio.wait_for(reader.put(OTHER, b"2"), 20)
        assert (await reader.list(PREFIX)).entries == {OTHER: b"2"}


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


async def test_only_what_is_read_is_needed_to_watch() -> None:
    """A watcher that may not write sees everything, and says so only when it stores."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    code = (
        "import asyncio, os, pathlib, sys\n"
        "from serinus.discovery.file import File\n"
        "os.setresuid(12345, 12345, 12345)\n"
        "async def main():\n"
        "    async with File(pathlib.Path(sys.argv[1])).session(lease=1) as session:\n"
        "        print((await session.list('v1/instances/')).entries)\n"
        "        await session.put('v1/instances/x', b'1')\n"
        "asyncio.run(main())\n"
    )
    with tempfile.TemporaryDirectory() as name:
        for path in (name, f"{name}/kv"):
            os.makedirs(path, exist_ok=True)  # noqa: PTH103
            os.chmod(path, 0o755)  # noqa: PTH101
        async with kept(File(Path(name) / "kv")) as session:
            await session.put(KEY, b"1")
            ran = await asyncio.create_subprocess_exec(
                sys.executable, "-c", code, f"{name}/kv", stdout=-1, stderr=-1
            )
            out, err = await asyncio.wait_for(ran.communicate(), 30)
    assert out.decode() == f"{{'{KEY}': b'1'}}\n"
    assert b"cannot store v1/instances/x: Permission denied" in err


def test_the_directory_is_the_settings_or_the_references(tmp_path: Path) -> None:
    """Not set, it is where the reference looks."""
    assert from_settings(Settings(file_kv=str(tmp_path))).root == tmp_path
    assert from_settings(Settings()).root.name == "dynamo_store_kv"


async def test_a_name_that_is_no_text_is_left_alone(
    world: FileWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """A stray file in the directory costs nobody their connection; it is named, in text."""
    async with kept(world.client()) as session:
        await session.put(KEY, b"{}")
        bucket = os.fsencode(world.root / "v1" / "instances")
        for name in (b"\xff", b"%FF", b"a%2Fb"):
            os.close(os.open(bucket + b"/" + name, os.O_CREAT | os.O_WRONLY))
        assert KEY in (await session.list(PREFIX)).entries
    assert b"/\\xff is left out" in caplog.text.encode()
