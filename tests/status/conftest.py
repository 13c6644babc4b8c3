"""Fixtures: status servers that are closed in the end, and workers that are ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from serinus.status import StatusConfig, SystemStatusServer
from tests.status.workers import Worker


@pytest.fixture
def serve() -> Iterator[Callable[..., SystemStatusServer]]:
    """Start status servers on a free loopback port, ready unless told otherwise."""
    servers: list[SystemStatusServer] = []

    def start(
        *, ready: bool = True, endpoints: bytes = b'{"generate":"ready"}', **config: Any
    ) -> SystemStatusServer:
        settings: dict[str, Any] = {"host": "127.0.0.1", "linger": 0.2} | config
        server = SystemStatusServer(StatusConfig(**settings))
        servers.append(server)
        server.publish(ready=ready, live=True, reason="told", endpoints=endpoints, armed=ready)
        server.start()
        return server

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def start_worker() -> Iterator[Callable[..., Worker]]:
    """Start workers in processes of their own."""
    workers: list[Worker] = []

    def start(**config: Any) -> Worker:
        worker = Worker(**config)
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.end()
