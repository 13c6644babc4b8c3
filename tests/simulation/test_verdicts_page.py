"""The page that says who sees what is what the judge does now."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines_real.kinds import KINDS

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
def test_the_verdict_table_is_up_to_date() -> None:
    """After a change of the judge: `make verdicts`."""
    command = [sys.executable, "scripts/verdicts.py", "--check", "docs/verdicts.md"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docs/verdicts.md is stale: run 'make verdicts'\n{done.stderr}"


def test_every_recorded_fault_is_seen_and_nobody_is_accused_in_a_recording() -> None:
    """What real engines went through: frozen, killed, and saturated without being sick."""
    page = (ROOT / "docs/verdicts.md").read_text().partition("## Recordings of real engines")[2]
    rows = [
        [cell.strip() for cell in line.strip("| ").split(" | ")]
        for line in page.splitlines()
        if re.match(r"\| (vllm|sglang|llamacpp|transformers)-", line)
    ]
    assert {row[0].partition("-")[0] for row in rows} == set(KINDS)
    assert any("no fault" in row[0] for row in rows)
    for what, _own, _reference, ours in rows:
        if "no fault" in what:
            assert ours == "0 false alarm(s)", what
        else:
            assert re.fullmatch(r"[0-9.]+ s; [0-9.]+ s", ours), (what, ours)
