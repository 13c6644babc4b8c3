"""HTTP by hand: what a frontend really sends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


async def get(address: str, path: str) -> tuple[int, bytes]:
    """The status and the body of one request."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        text = await reader.read()
    finally:
        writer.close()
    head, _, body = text.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def get_json(address: str, path: str) -> tuple[int, Any]:
    """The same, with JSON in the body."""
    status, body = await get(address, path)
    return status, json.loads(body)


@asynccontextmanager
async def events(address: str, path: str = "/events") -> AsyncIterator[AsyncIterator[Any]]:
    """The stream of changes, as pairs of an event's kind and data."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 24)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    async def read() -> AsyncIterator[Any]:
        kind = ""
        async for line in _lines(reader):
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield kind, json.loads(line.removeprefix("data: "))

    try:
        yield read()
    finally:
        writer.close()


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    await reader.readuntil(b"\r\n\r\n")
    text = b""
    while (size := int(await reader.readuntil(b"\r\n"), 16)) > 0:
        text += await reader.readexactly(size)
        await reader.readexactly(2)
        *whole, text = text.split(b"\n")
        for line in whole:
            yield line.decode()
