"""The tier that needs a real engine: it fails, and does not skip, where there is none.

`REAL_ENGINE` names the engine; `make test-engines` runs the tier once for each of `ENGINES`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engines_real import rig
from tests.engines_real.kinds import KINDS, Kind
from tests.engines_real.stage import Engine


@pytest.fixture(scope="session")
def kind() -> Kind:
    """The engine that is asked for."""
    name = os.environ.get("REAL_ENGINE", "")
    assert name in KINDS, f"REAL_ENGINE={name!r}: accepted: {', '.join(KINDS)}"
    return KINDS[name]


@pytest.fixture(scope="session")
def engines() -> Iterator[list[Engine]]:
    """Keep one engine for all tests; whoever kills it takes it out."""
    kept: list[Engine] = []
    yield kept
    for engine in kept:
        engine.started.close()


@pytest.fixture
def engine(kind: Kind, engines: list[Engine], tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """An engine that has brought a token."""
    if not engines:
        engines.append(_start(kind, tmp_path_factory.mktemp(kind.name)))
    return engines[0]


@pytest.fixture
def watched(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> Iterator[str]:
    """The address of a sidecar that recognised the engine, ready; the parameter gives its flags."""
    flags: tuple[str, ...] = request.param
    with _sidecar(engine, flags, tmp_path) as address:
        yield address


@pytest.fixture
def saturated(engine: Engine, tmp_path: Path) -> Iterator[str]:
    """The same at default settings, but for what its kind needs under long queues."""
    with _sidecar(engine, engine.kind.waits, tmp_path) as address:
        yield address


@contextmanager
def _sidecar(engine: Engine, flags: tuple[str, ...], folder: Path) -> Iterator[str]:
    sidecar = rig.serve_sidecar(
        engine.url, *engine.kind.flags, *flags, log=folder / "sidecar.log", engine="auto"
    )
    try:
        address = rig.address_of(sidecar)
        rig.wait_until(lambda: rig.codes(address) == (200, 200), seconds=120, what="ready")
        yield address
    finally:
        sidecar.close()


def _start(kind: Kind, folder: Path) -> Engine:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    engine = Engine(
        kind, f"http://127.0.0.1:{port}", rig.serve(kind.name, port, log=folder / "log")
    )
    try:
        first = engine.user(tokens=1, rounds=1)

        def up() -> bool:
            assert engine.started.process.poll() is None, engine.started.said()
            return first.answered == 1

        try:
            rig.wait_until(up, seconds=rig.START, what="the first token", pace=0.25)
        finally:
            first.stop()
    except BaseException:
        engine.started.close()
        raise
    return engine
