"""Groups as the programs show them: an engine of four ranks, a pair, and what is said of them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest

from serinus.cli import main
from tests.cli.programs import PATIENCE, program, until

QUICK = ("--canary-wait-time=0.5", "--health-check-request-timeout=1", "--scrape-interval=0.2")
GROUP = "serinus.vllm.generate"


def get(url: str) -> tuple[int, Any, dict[str, str]]:
    """Return status, JSON and headers."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.status, json.load(answer), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), dict(error.headers)


def ready(address: str) -> tuple[int, Any, dict[str, str]]:
    """Wait until a status port says that it is ready, and return what it says."""
    until(lambda: get(f"{address}/health")[0] == 200)
    return get(f"{address}/health")


def post(url: str, body: object) -> None:
    """Send JSON."""
    urllib.request.urlopen(url, json.dumps(body).encode(), timeout=PATIENCE).close()


@pytest.mark.end_to_end
def test_a_rank_that_hangs_is_told_by_every_page(capsys: pytest.CaptureFixture[str]) -> None:
    """The engine says 200; the bare body keeps its shape."""
    with program("sim", "--ranks", "4", "--port", "0") as engine:
        url = engine.says(r"http://127\.0\.0\.1:\d+")
        with program("sidecar", "--url", url, "--port", "0", *QUICK) as sidecar:
            address = sidecar.says(r"/metrics on (http://\S+)").rpartition(" ")[2]
            until(lambda: get(f"{address}/health")[0] == 200, what=lambda: sidecar.err)
            post(f"{url}/_sim/faults", {"fault": "hang", "rank": 2})
            until(lambda: get(f"{address}/health")[0] == 503, seconds=30)
            status, body, _ = get(f"{address}/health?verbose")
            assert (status, body["endpoints"]) == (503, {"generate": "notready"})
            group = body["details"]["groups"][GROUP]
            assert (group["ready"], group["size"], group["policy"]) == (3, 4, "all")
            assert group["members"]["rank 2"]["reason"] == "canary_timeout"
            assert urllib.request.urlopen(f"{url}/health", timeout=PATIENCE).status == 200
            sidecar.says(r"3 of 4 ranks ready\) \(canary_timeout\): 3 of 4 ranks ready; rank 2: ")
            assert main(["check", address, "--verbose"]) == 1
            said = capsys.readouterr().out
            assert f"{GROUP}: 3 of 4 ranks ready; rank 2: canary_timeout for " in said
            assert f"  {GROUP}: not ready (data-parallel, all): 3 of 4 ranks ready;" in said
            assert sidecar.end() == 0


@pytest.mark.end_to_end
def test_a_policy_keeps_it_ready_and_says_that_it_is_degraded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By the header, by `check`, and by its strict form."""
    with program("sim", "--ranks", "4", "--port", "0") as engine:
        url = engine.says(r"http://127\.0\.0\.1:\d+")
        words = ("--url", url, "--port", "0", "--group-policy", "75%", *QUICK)
        with program("sidecar", *words) as sidecar:
            address = sidecar.says(r"/metrics on (http://\S+)").rpartition(" ")[2]
            until(lambda: "x-envoy-degraded" not in ready(address)[2], what=lambda: sidecar.err)
            post(f"{url}/_sim/faults", {"fault": "hang", "rank": 0})
            until(lambda: "x-envoy-degraded" in get(f"{address}/health")[2], seconds=30)
            assert get(f"{address}/health")[0] == 200
            assert main(["check", address]) == 0
            assert "members_not_ready (3 of 4 ranks ready; rank 0" in capsys.readouterr().out
            assert main(["check", address, "--strict"]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--target p=http://a:1 --group pair=p:prefill",
            "--group pair: no member has the role decode; accepted: NAME=TARGET,TARGET for",
        ),
        (
            "--url http://a:1 --group-policy most",
            "--group-policy: 'most' is not accepted; accepted",
        ),
        (
            "--engine llamacpp --url http://a:1 --ranks 2",
            "ranks: 2 of serinus.llamacpp.generate, and no request can choose its rank",
        ),
    ],
)
def test_what_is_wrong_with_a_group_is_said_before_anything_starts(
    capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    """Exit code 2 and one message."""
    assert main(["sidecar", *words.split(), "--port", "0"]) == 2
    assert message in capsys.readouterr().err
