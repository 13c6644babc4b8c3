"""Fixtures for all tests."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from serinus.simulation.virtual_time import VirtualTimeLoop

# How quick the machine is decides no test.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
_NUMBERS = count()


@pytest.fixture(autouse=True)
def as_it_was_logged() -> Iterator[None]:
    """Undo what a program that ran in this process has done to logging."""
    root, ours = logging.getLogger(), logging.getLogger("serinus")
    before = [(one, one.level, list(one.handlers)) for one in (root, ours)]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = [kept for kept in logger.handlers if kept in handlers]


@pytest.fixture(autouse=True)
def files_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Have discovery in files, a sidecar's default, be no matter between one test and another."""
    own = f"fleet-{os.getpid()}-{next(_NUMBERS)}"
    monkeypatch.setenv("DYN_FILE_KV", str(tmp_path_factory.getbasetemp() / own))


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Any]:
    """Run async tests in virtual time unless they are marked otherwise."""
    names = ("real_time", "end_to_end", "servers", "kubernetes", "vllm")
    real = any(item.get_closest_marker(name) for name in names)
    return {"real": asyncio.new_event_loop} if real else {"virtual": VirtualTimeLoop}
