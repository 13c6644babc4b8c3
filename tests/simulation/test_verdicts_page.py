"""The page that says who sees what is what the judge does now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
def test_the_verdict_table_is_up_to_date() -> None:
    """After a change of the judge: `make verdicts`."""
    command = [sys.executable, "scripts/verdicts.py", "--check", "docs/verdicts.md"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docs/verdicts.md is stale: run 'make verdicts'\n{done.stderr}"
