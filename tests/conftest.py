"""Fixtures for all tests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from serinus.simulation.virtual_time import VirtualTimeLoop

# How quick the machine is decides no test.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Any]:
    """Run async tests in virtual time unless they are marked otherwise."""
    real = any(item.get_closest_marker(name) for name in ("real_time", "end_to_end", "vllm"))
    return {"real": asyncio.new_event_loop} if real else {"virtual": VirtualTimeLoop}
