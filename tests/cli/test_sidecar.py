"""`serinus sidecar`: mistakes, and the program as a process with its signals."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from serinus.cli import main
from tests.cli.programs import Program, program, until

PLACE = "http://HOST:PORT"
ACCEPTED = "accepted: http://HOST:PORT or https://HOST:PORT, with a path before /v1 if there is one"
NAMES = "accepted: NAME=URL, NAME being a word of letters, digits, '-' and '_', or a whole address"
QUICK = ("--canary-wait-time=0.5", "--health-check-request-timeout=1", "--scrape-interval=0.2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "",
            f"no engine to watch; accepted: --url {PLACE}, or --target NAME=URL for several",
        ),
        ("--url localhost:8000", f"--url: 'localhost:8000' is not accepted; {ACCEPTED}"),
        (
            "--url http://me:secret@a:1",
            (
                "--url: a URL with credentials is not accepted (not shown); give an API key by "
                "SERINUS_API_KEY or --api-key-file"
            ),
        ),
        (
            "--engine vlm --url http://a:1",
            (
                "engine: 'vlm' is not known; accepted: auto, vllm, sglang, trtllm, llamacpp, tgi, "
                "triton, transformers, ollama, dynamo-frontend, dynamo-worker, openai (any server "
                "that speaks OpenAI's API); did you mean vllm?"
            ),
        ),
        ("--target http://a:1", f"--target: 'http://a:1' has no name; {NAMES}"),
        (
            "--url http://a:1 --ca-file /no/such",
            (
                "--ca-file: '/no/such' is not accepted (No such file or directory); accepted: a "
                "file with certificates in PEM format"
            ),
        ),
        (
            "--url http://a:1 --canary-wait-time soon",
            (
                "--canary-wait-time: 'soon' is not accepted; accepted: seconds from 0.001 to "
                "1000000000, such as 10, 0.5, 500ms, 2s, 1m"
            ),
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(
    capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    """Exit code 2 and one message."""
    assert main(["sidecar", *words.split()]) == 2
    assert capsys.readouterr() == ("", f"serinus: error: {message}\n")


def test_an_api_key_is_no_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """The process list shows flags to everyone on the machine."""
    assert main(["sidecar", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--api-key-file" in out
    assert not re.search(r"--api-key\b(?!-file)", out)
    assert "--health-check-payload" not in out, "the payload is the library's"
    assert "(default: 9090)" in out


@pytest.mark.end_to_end
def test_without_the_extra_the_help_is_there_and_the_rest_says_what_is_missing() -> None:
    """The bare install has no HTTP client."""
    code = (
        "import sys; sys.modules['aiohttp'] = None\n"
        "from serinus.cli import main\n"
        "assert main(['sidecar', '--help']) == 0\n"
        "sys.exit(main(['sidecar', '--url', 'http://a:1']))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    said = 'serinus: error: The sidecar needs an extra: pip install "serinus[sidecar]"\n'
    assert (run.returncode, run.stderr) == (2, said)


@pytest.fixture
def nobody() -> str:
    """The address of a port that is closed."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        return f"http://127.0.0.1:{holder.getsockname()[1]}"


def get(url: str) -> tuple[int, dict[str, Any]]:
    """Ask a status port."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def posted(url: str, body: dict[str, Any]) -> Any:
    """Send JSON; what is returned is open, and nothing of it read."""
    headers = {"content-type": "application/json"}
    data = json.dumps(body).encode()
    return urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20)


def address_of(sidecar: Program) -> str:
    """Wait for the line with the address."""
    said = sidecar.says(r"/health, /live and /metrics on (http://\S+)\n")
    return said.replace("0.0.0.0", "127.0.0.1")


@pytest.mark.end_to_end
def test_a_port_that_is_taken_stops_the_start(nobody: str) -> None:
    """Never a sidecar without its status port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ("--url", nobody, "--host", "127.0.0.1", "--port", str(port))
        with program("sidecar", *words) as sidecar:
            assert sidecar.process.wait(20) == 2
            sidecar.says(rf"serinus: error: .*{port}")


@pytest.mark.end_to_end
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_well(nobody: str, number: signal.Signals) -> None:
    """Drained, exit code 0, no traceback; and an engine that is not there was no error."""
    with program("sidecar", "--url", nobody, "--port", "0") as sidecar:
        address = address_of(sidecar)
        until(lambda: get(f"{address}/health")[0] == 503 and "port_closed" in sidecar.err)
        assert get(f"{address}/live")[0] == 200
        assert sidecar.end(number) == 0
        assert "Traceback" not in sidecar.err
        line = sidecar.out.splitlines()
        assert len(line) == 1
        assert line[0].startswith(f"serinus sidecar: watching vllm at {nobody}; /health, ")


@pytest.mark.end_to_end
def test_it_watches_an_engine_from_its_first_second_to_its_death() -> None:
    """Loading, ready, killed with SIGKILL: not ready and not live at once, and the reason."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    with program("sidecar", "--url", url, "--port", "0", *QUICK) as sidecar:
        address = address_of(sidecar)
        with program("sim", "--port", port) as engine:
            until(lambda: get(f"{address}/health")[0] == 200)
            body = get(f"{address}/health?verbose")[1]
            assert body["endpoints"] == {"generate": "ready"}
            endpoint = body["details"]["endpoints"]["serinus.vllm.generate"]
            assert endpoint["notes"]["model"] == "tiny"
            assert endpoint["notes"]["url"] == url
            engine.end(signal.SIGKILL)
            took = until(lambda: get(f"{address}/live")[0] == 503, seconds=3)
            assert get(f"{address}/health")[0] == 503
            assert took < 3
        sidecar.says(r"engine died: http://127.0.0.1:\d+ refuses connections")
        with program("sim", "--port", port):
            until(lambda: get(f"{address}/health")[0] == 200)
            assert get(f"{address}/live")[0] == 200
        assert sidecar.end() == 0


@pytest.mark.end_to_end
def test_the_log_is_lines_with_the_time_in_utc(nobody: str) -> None:
    """What changed, from what to what, and why; on the standard error."""
    with program("sidecar", "--url", nobody, "--port", "0") as sidecar:
        sidecar.says(
            r"\n\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z warning serinus\.vllm\.generate: "
            r"notready \(unproven\) -> notready \(port_closed\): loading: port closed; "
            r"decided by process 0\.0 s ago\n"
        )


@pytest.mark.end_to_end
def test_several_engines_must_all_be_ready(nobody: str) -> None:
    """One that is not there stands in the way, and is named."""
    with program("sim", "--port", "0") as engine:
        url = engine.says(r"http://127\.0\.0\.1:\d+")
        words = ("--target", f"up={url}", "--target", f"down={nobody}", "--port", "0", *QUICK)
        with program("sidecar", *words) as sidecar:
            address = address_of(sidecar)
            states = {"serinus.down.generate": "notready", "serinus.up.generate": "ready"}
            until(lambda: get(f"{address}/health")[1]["endpoints"] == states)
            assert get(f"{address}/health")[0] == 503
            assert get(f"{address}/live")[0] == 200


@pytest.mark.end_to_end
@pytest.mark.timeout(400)
def test_one_that_becomes_slow_under_work_leaves_if_its_policy_says_so() -> None:
    """Both have become ten times slower; the one that only reports it stays ready."""
    work = {"model": "tiny", "prompt": [1], "max_tokens": 100_000, "ignore_eos": True}
    with ExitStack() as running:
        sim = ("sim", "--port", "0", "--step", "10ms", "--context", "200000")
        engines = [running.enter_context(program(*sim)) for _ in range(2)]
        urls = [engine.says(r"http://127\.0\.0\.1:\d+") for engine in engines]
        words = ("--target", f"leaves:notready={urls[0]}", "--target", f"stays:report={urls[1]}")
        sidecar = running.enter_context(program("sidecar", *words, "--port", "0", *QUICK))
        address = address_of(sidecar)
        until(lambda: get(f"{address}/health")[0] == 200)
        for url in urls:
            running.enter_context(posted(f"{url}/v1/completions", {**work, "stream": True}))

        def known(of: str) -> Any:
            return get(f"{address}/health?verbose")[1]["details"]["endpoints"][
                f"serinus.{of}.generate"
            ]

        def learnt(of: str) -> bool:
            measures = re.search(r"(\d+) measures", known(of)["notes"]["pace"])
            return measures is not None and int(measures[1]) >= 12

        until(lambda: learnt("leaves") and learnt("stays"), seconds=120)
        for url in urls:
            with posted(f"{url}/_sim/faults", {"fault": "slow", "value": 12}):
                pass
        until(
            lambda: all("slow_tokens" in known(of)["flaws"] for of in ("leaves", "stays")),
            seconds=120,
        )
        states = {"serinus.leaves.generate": "notready", "serinus.stays.generate": "ready"}
        until(lambda: get(f"{address}/health")[1]["endpoints"] == states, seconds=60)
        assert known("leaves")["reason"] == "degraded"
        assert get(f"{address}/live")[0] == 200


@pytest.mark.end_to_end
def test_a_key_from_the_surroundings_is_in_no_output(nobody: str) -> None:
    """Neither the lines nor the process list nor the pages have it."""
    key = "sk-canary-1b2c3d4e5f"
    with program("sidecar", "--url", nobody, "--port", "0", env={"SERINUS_API_KEY": key}) as one:
        address = address_of(one)
        until(lambda: "port_closed" in one.err)
        pages = [urllib.request.urlopen(f"{address}/metrics", timeout=5).read().decode()]
        pages.append(json.dumps(get(f"{address}/health?verbose")[1]))
        pages.append(Path(f"/proc/{one.process.pid}/cmdline").read_text())
        one.end()
        assert not [text for text in (*pages, one.out, one.err) if key in text]


@pytest.mark.end_to_end
def test_what_means_nothing_here_is_said(nobody: str) -> None:
    """A payload that is set for the library, and canaries that are off."""
    surroundings = {"DYN_HEALTH_CHECK_PAYLOAD": "{}", "DYN_HEALTH_CHECK_ENABLED": "false"}
    with program("sidecar", "--url", nobody, "--port", "0", env=surroundings) as sidecar:
        sidecar.says("the payload that is set is for the library; the sidecar has its own")
        sidecar.says("canaries are off: every engine is declared ready, and nothing is proven")
