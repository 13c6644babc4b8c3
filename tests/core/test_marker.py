"""The marker of canaries."""

from __future__ import annotations

import pytest

from serinus.core.marker import HEALTH_CHECK_KEY, is_health_check


@pytest.mark.parametrize("value", [False, None, 1, "true", [True]])
def test_only_the_exact_value_true_marks_a_canary(value: object) -> None:
    """As the reference's unified handlers test it."""
    assert is_health_check({HEALTH_CHECK_KEY: True})
    assert not is_health_check({HEALTH_CHECK_KEY: value})


@pytest.mark.parametrize("request_", [None, "_HEALTH_CHECK", [HEALTH_CHECK_KEY], 5, {}])
def test_what_is_no_marked_mapping_is_no_canary(request_: object) -> None:
    """A handler may be given anything."""
    assert not is_health_check(request_)
