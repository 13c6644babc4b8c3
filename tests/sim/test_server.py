"""The simulator's port and its life: loading, closing, ports in use."""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from serinus.errors import LifecycleError, SettingsError
from serinus.sim.faults import parse_plan
from serinus.sim.listener import Place
from serinus.sim.loading import LoadShape, Phase
from serinus.sim.options import EngineName, SimOptions
from serinus.sim.server import Simulator
from tests.sim.client import LONG, simulating, until

real_time = pytest.mark.real_time


@real_time
async def test_a_closed_load_refuses_until_the_model_is_there() -> None:
    """VLLM's way: no port, and then everything."""
    async with simulating(load_seconds=0.3) as client:
        assert client.simulator.phase() is Phase.CLOSED
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get("/health")
        await client.once_open()
        assert client.simulator.phase() is Phase.READY
        assert (await client.get("/v1/models")).json["data"]
        assert (await client.complete()).status == 200


@real_time
@pytest.mark.parametrize("engine", list(EngineName))
async def test_an_open_load_lists_no_model_and_makes_no_text(engine: EngineName) -> None:
    """`/health` 503, an empty list, 503 for a request; and then everything."""
    async with simulating(engine, load_seconds=0.3, load_shape=LoadShape.EMPTY) as client:
        assert (await client.get("/health")).status == 503
        assert (await client.get("/v1/models")).json["data"] == []
        answer = await client.complete()
        assert (answer.status, answer.json["error"]["message"]) == (503, "Loading model")
        await until(lambda: not client.simulator._front.loading)
        assert (await client.get("/health")).status == 200
        assert (await client.get("/v1/models")).json["data"]


@real_time
async def test_a_plain_server_loads_in_stages() -> None:
    """The port first, then the model."""
    async with simulating(EngineName.OPENAI, load_seconds=4.0) as client:
        assert client.simulator.phase() is Phase.CLOSED
        await client.once_open()
        assert (await client.get("/v1/models")).json["data"] == []


@real_time
async def test_a_planned_fault_counts_from_the_start() -> None:
    """A fault without a start is on with the first answer."""
    plans = (parse_plan("error"), parse_plan("hang@1h"))
    async with simulating(faults=plans) as client:
        assert (await client.complete()).status == 500
        assert [each["fault"] for each in (await client.get("/_sim")).json["planned"]] == ["hang"]


@real_time
async def test_the_control_port_outlives_the_engines() -> None:
    """A refusal for good is taken off through it, and it serves nothing else."""
    async with simulating(control_port=0) as client:
        control = client.simulator.control_url
        assert control != client.simulator.url
        async with client.session.post(f"{control}/_sim/faults", data='{"fault":"refuse"}') as put:
            assert put.status == 200
        await client.once_shut()
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get("/health")
        async with client.session.delete(f"{control}/_sim/faults") as taken:
            assert taken.status == 200
        await client.once_open()
        assert (await client.get("/health")).status == 200
        async with client.session.get(f"{control}/health") as other:
            assert other.status == 404


@real_time
async def test_a_port_in_use_is_a_clear_error_and_leaves_nothing_behind() -> None:
    """The message names the flag, the port and what is accepted."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        message = (
            rf"--port {port}: 127\.0\.0\.1:{port} cannot be listened on: Address already in use; "
            r"accepted: an address of this machine with a free port, or --port 0 for any free one"
        )
        with pytest.raises(SettingsError, match=message):
            await Simulator(SimOptions(port=port)).start()
        with pytest.raises(SettingsError, match=rf"--control-port {port}: "):
            await Simulator(SimOptions(port=0, control_port=port)).start()


@real_time
async def test_a_second_simulator_cannot_take_the_port_of_the_first() -> None:
    """Even though the port can be closed and opened again."""
    async with simulating() as client:
        port = int(client.simulator.url.rpartition(":")[2])
        with pytest.raises(SettingsError, match="Address already in use"):
            await Simulator(SimOptions(port=port)).start()


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("nobody.invalid", r"--host 'nobody\.invalid': .*; accepted: an address or a name of"),
        ("192.0.2.1", r"--port 0: 192\.0\.2\.1:0 cannot be listened on: Cannot assign"),
    ],
)
def test_a_host_that_is_not_ours_is_a_clear_error(host: str, message: str) -> None:
    """A name that is not known, an address of another machine."""
    with pytest.raises(SettingsError, match=message):
        Place(host, 0)


def test_a_held_place_refuses_connections() -> None:
    """The number is ours while nobody listens; and a wildcard is written as loopback."""
    place = Place("0.0.0.0", 0)
    try:
        assert place.url == f"http://127.0.0.1:{place.port}"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", place.port), timeout=1)
        place.listening().close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", place.port), timeout=1)
    finally:
        place.release()


@real_time
async def test_closing_cuts_off_what_hangs_within_its_bound() -> None:
    """A request that would hang for good does not keep the simulator from ending, twice over."""
    loop = asyncio.get_running_loop()
    async with simulating() as client:
        client.fault("hang")
        asking = asyncio.create_task(client.complete(**LONG))
        await until(lambda: client.simulator.engine.unseen == 1)
        began = loop.time()
        await client.simulator.close()
        assert loop.time() - began < 2
        with pytest.raises(aiohttp.ClientError):
            await asking
        await client.simulator.close()


@real_time
async def test_it_serves_until_it_is_told_to_stop() -> None:
    """`serve` returns when the event is set."""
    async with simulating() as client:
        stop = asyncio.Event()
        serving = asyncio.create_task(client.simulator.serve(stop))
        assert (await client.get("/health")).status == 200
        assert not serving.done()
        stop.set()
        async with asyncio.timeout(5):
            await serving


@real_time
async def test_a_part_that_fails_ends_it_with_its_error(caplog: pytest.LogCaptureFixture) -> None:
    """No engine goes on half: what broke the engine's loop is logged, and raised to the owner."""
    async with simulating() as client:

        def broken() -> float:
            raise ZeroDivisionError

        client.simulator.engine.cores[0]._clock = broken
        client.fault("slow")
        with pytest.raises(ZeroDivisionError):
            async with asyncio.timeout(5):
                await client.simulator.serve(asyncio.Event())
    assert "serinus sim: engine has failed" in caplog.text


@real_time
async def test_it_is_started_once_and_has_an_address_then() -> None:
    """Used out of turn, it says so."""
    simulator = Simulator(SimOptions(port=0))
    with pytest.raises(LifecycleError, match="has no address before it is started"):
        _ = simulator.url
    async with simulator:
        with pytest.raises(LifecycleError, match="a simulator is started once"):
            await simulator.start()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 65536}, "--port 65536: a whole number from 0 to 65535 is accepted"),
        ({"control_port": -1}, "--control-port -1: a whole number from 0 to 65535 is accepted"),
        ({"model": ""}, "--model: a name is accepted, not an empty one"),
        ({"context": 1}, "--context 1: a whole number from 2 to 10000000 is accepted"),
        (
            {"load_seconds": float("inf")},
            "--load-seconds inf: from 0 to 86400 seconds are accepted",
        ),
    ],
)
def test_options_out_of_range_name_their_flag(options: dict[str, object], message: str) -> None:
    """The flag, the value, and what is accepted."""
    with pytest.raises(SettingsError) as caught:
        SimOptions(**options)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """A bare install gets the command to type, not a traceback."""
    (tmp_path / "aiohttp.py").write_text("raise ImportError('not installed')\n")
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from serinus.cli import main\n"
        "sys.exit(main(['sim', '--port', '0']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert 'serinus: error: serinus sim needs an extra: pip install "serinus[sim]"' in done.stderr


@real_time
async def test_connections_of_its_last_moment_are_let_go() -> None:
    """One that was accepted in the turn in which the port is shut is closed like any other."""
    refused, ends = 0, []

    async def connect(host: str, port: str) -> None:
        nonlocal refused
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
        except ConnectionError:
            refused += 1
            return
        try:
            ends.append(await reader.read(1))
        except ConnectionError:
            ends.append(b"")
        finally:
            writer.close()

    for turns in range(8):
        async with Simulator(SimOptions(engine=EngineName.VLLM, port=0), die=lambda: None) as sim:
            host, _, port = sim.url.removeprefix("http://").partition(":")
            clients = [asyncio.create_task(connect(host, port)) for _ in range(4)]
            for _ in range(turns):
                await asyncio.sleep(0)
        async with asyncio.timeout(20):
            await asyncio.gather(*clients)
    gc.collect()
    assert len(ends) + refused == 32
    assert set(ends) <= {b""}
