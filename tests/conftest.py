"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.virtual_time import loop_factories


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Any]:
    """Run async tests in virtual time unless they are marked otherwise."""
    return loop_factories(item)
