"""What does each backend of discovery cost, and how soon is a change seen by others?

Real servers on this machine, their stores in memory where that can be had, so that the disk is not
what is measured. One process announces and changes, the same process watches: processor time is
of both. Files are of one machine, so fewer of them are tried.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from fleet_scale import etcd, free_port

from serinus.discovery import Backend, Change, Discovery
from serinus.discovery.etcd import Etcd
from serinus.discovery.file import File
from serinus.discovery.nats import Nats

PREFIX = "v1/instances/"
CHANGES = 1000
RATE = 100
IDLE = 5.0
AT_ONCE = 32


def value_of(number: int, turn: int) -> bytes:
    """A record of the usual size."""
    record = {
        "type": "Endpoint",
        "namespace": "demo",
        "component": "backend",
        "endpoint": "generate",
        "instance_id": number,
        "transport": {"http": "http://10.0.0.1:8000/demo/backend/generate"},
        "serinus": {"status": "ready", "reason": "canary", "owner": "0" * 16, "turn": turn},
    }
    return json.dumps(record, separators=(",", ":")).encode()


@contextlib.contextmanager
def nats() -> Iterator[str]:
    """A real NATS server."""
    with tempfile.TemporaryDirectory() as store:
        port = free_port()
        program = Path(sys.executable).with_name("nats-server")
        process = subprocess.Popen(
            [program, "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", store],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(1)
            yield f"nats://127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def backend(kind: str) -> Iterator[Backend]:
    """A backend with nothing in it."""
    if kind == "etcd":
        with etcd() as url:
            yield Etcd([url])
    elif kind == "nats":
        with nats() as url:
            yield Nats([url])
    else:
        with tempfile.TemporaryDirectory() as place:
            yield File(Path(place) / "kv")


async def measure(kind: str, entries: int) -> str:
    """A line of the table."""
    keys = [f"{PREFIX}demo/backend/generate/{number:x}" for number in range(entries)]
    with backend(kind) as place:
        async with place.session(lease=60) as writer, contextlib.AsyncExitStack() as stack:
            keeper = asyncio.create_task(writer.keep(), name="keeper")
            stack.callback(keeper.cancel)
            for start in range(0, entries, AT_ONCE):
                some = range(start, min(start + AT_ONCE, entries))
                await asyncio.gather(*(writer.put(keys[n], value_of(n, 0)) for n in some))
            began, busy = time.monotonic(), time.process_time()
            listed = await writer.list(PREFIX)
            listing, worked = time.monotonic() - began, time.process_time() - busy
            assert len(listed.entries) == entries
            async with Discovery(place, lease=60) as discovery:
                mirror = discovery.mirror(PREFIX)
                while mirror.age is not None:  # noqa: ASYNC110 - polling is enough here
                    await asyncio.sleep(0.01)
                await asyncio.sleep(1)
                busy = time.process_time()
                await asyncio.sleep(IDLE)
                idle = (time.process_time() - busy) / IDLE
                sent: dict[tuple[str, bytes], float] = {}
                late: list[float] = []

                def heard(changes: list[Change]) -> None:
                    now = time.monotonic()
                    late.extend(
                        now - sent.pop((key, value))
                        for key, value in changes
                        if value is not None and (key, value) in sent
                    )

                mirror.follow(heard)
                due = time.monotonic()
                for turn in range(1, CHANGES + 1):
                    number = random.randrange(entries)
                    value = value_of(number, turn)
                    sent[keys[number], value] = time.monotonic()
                    await writer.put(keys[number], value)
                    due += 1 / RATE
                    await asyncio.sleep(max(due - time.monotonic(), 0))
                await asyncio.sleep(1)
    late.sort()
    half, most = (1000 * late[int(len(late) * share)] for share in (0.5, 0.99))
    return (
        f"| {kind} | {entries:,} | {1000 * listing:.0f} ms | {1000 * worked:.0f} ms "
        f"| {half:.1f} / {most:.1f} ms | {len(late)} of {CHANGES} | {100 * idle:.1f} % |"
    )


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", default=["file:200", "etcd:10000", "nats:2000"])
    print("| backend | entries | list | its CPU | change seen, p50 / p99 | seen | idle watch |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for one in parser.parse_args().what:
        kind, entries = one.split(":")
        print(asyncio.run(measure(kind, int(entries))), flush=True)


if __name__ == "__main__":
    main()
