"""The names at the root: what they are, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import serinus

ROOT = Path(__file__).resolve().parents[1]


def test_every_name_is_there() -> None:
    """What `__all__` promises can be had, and `dir` need not know more."""
    for name in serinus.__all__:
        assert getattr(serinus, name) is not None


def test_the_names_are_these() -> None:
    """A new public name is a decision: this list changes with it."""
    assert sorted(serinus.__all__) == [
        "Context",
        "Endpoint",
        "HealthCheckConfig",
        "HealthCheckManager",
        "HealthCheckPayload",
        "HealthCheckTarget",
        "HealthStatus",
        "Reason",
        "Runtime",
        "SerinusError",
        "Settings",
        "SglangHealthCheckPayload",
        "SglangPrefillHealthCheckPayload",
        "SystemHealth",
        "SystemStatusServer",
        "Transcript",
        "TrtllmHealthCheckPayload",
        "VllmHealthCheckPayload",
        "__version__",
    ]


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module."""
    with pytest.raises(AttributeError, match="has no attribute 'Runtimes'"):
        _ = serinus.Runtimes


def test_the_version_is_the_packages() -> None:
    """One version, written twice, kept equal."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert serinus.__version__ == project["version"]


@pytest.mark.end_to_end
def test_the_library_imports_nothing_that_it_does_not_need() -> None:
    """A worker that takes the Runtime gets no HTTP client, parser or command line with it."""
    heavy = (
        "aiohttp prometheus_client argparse tomllib dataclasses_json serinus.cli serinus.sidecar"
    )
    code = (
        "import sys; from serinus import Runtime\n"
        f"print(*(name for name in {heavy.split()!r} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []
