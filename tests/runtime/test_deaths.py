"""An engine's own word that it is dead, in exceptions and in answers."""

from __future__ import annotations

from itertools import pairwise

import pytest

from serinus.core.evidence import CanaryFailed, CanaryFault, EngineDied
from serinus.runtime.deaths import death_in, failed_for_good, says_dead
from tests.runtime.engines import EngineDeadError

STAYS = [
    "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported",
    "CUDA error: an illegal memory access was encountered",
    "Server error: CUDA error: unspecified launch failure",
    "CUDA error (csrc/custom_all_reduce.cuh:364): misaligned address",
    "HIP error: an illegal memory access was encountered",
]
PASSES = [
    "CUDA error: out of memory",
    "CUDA out of memory. Tried to allocate 2.00 GiB",
    "CUDA error: invalid argument",
    "an illegal memory access was encountered",
    "",
]


def chained(*errors: BaseException, by: str) -> BaseException:
    """Chain errors, the first raised last."""
    for error, cause in pairwise(errors):
        setattr(error, by, cause)
    return errors[0]


class EngineDiedError(Exception):
    """Another spelling of it."""


class OurEngineDead(EngineDeadError):  # noqa: N818 - a name that says nothing
    """Known by its base."""


@pytest.mark.parametrize("by", ["__cause__", "__context__"])
def test_a_death_is_found_under_other_errors(by: str) -> None:
    """Frameworks wrap what engines raise."""
    deep = chained(RuntimeError(), ValueError(), EngineDeadError(), by=by)
    assert death_in(deep)
    assert not death_in(chained(RuntimeError(), ValueError(), by=by))


@pytest.mark.parametrize("error", [EngineDeadError(), EngineDiedError(), OurEngineDead()])
def test_a_death_is_known_by_its_name_or_its_bases(error: Exception) -> None:
    """No engine is imported to know its errors."""
    assert death_in(error)
    assert not death_in(RuntimeError("EngineDeadError"))


def test_a_chain_without_an_end_is_not_followed_for_ever() -> None:
    """Errors can be chained in a circle by hand."""
    one, other = RuntimeError(), RuntimeError()
    one.__cause__, other.__cause__ = other, one
    assert not death_in(one)


@pytest.mark.parametrize("text", STAYS)
def test_a_device_that_answers_no_more_is_dead(text: str) -> None:
    """Only a new process can use it again, whoever tells of it."""
    assert says_dead(text)
    assert death_in(RuntimeError(text))
    wrapped = ValueError("the step failed")
    wrapped.__cause__ = RuntimeError(text)
    assert death_in(wrapped)


@pytest.mark.parametrize("text", PASSES)
def test_other_trouble_with_a_device_is_not(text: str) -> None:
    """The next request may well be answered."""
    assert not says_dead(text)
    assert not death_in(RuntimeError(text))


def test_a_message_is_read_as_far_as_it_may_be() -> None:
    """Whatever a handler raises, it does not take the loop."""
    assert not death_in(RuntimeError("CUDA error" + " " * 10**7 + STAYS[0]))


def test_a_canary_tells_of_it_by_its_error_or_by_its_detail() -> None:
    """A wrapped exception does not show it in its own words."""
    failed = CanaryFailed(5.0, 4.0, CanaryFault.RAISED, "ValueError: the step failed")
    assert failed_for_good(failed) == (failed,)
    assert failed_for_good(failed, EngineDeadError()) == (failed, EngineDied(5.0, failed.detail))
    told = failed._replace(detail=STAYS[1])
    assert failed_for_good(told) == (told, EngineDied(5.0, STAYS[1]))
