"""An engine's own word that it is dead: in an exception, or in what it answered.

vLLM has exceptions for it. A CUDA device has errors that stay: after an illegal access, an
assertion in a kernel, a launch that timed out or memory that cannot be corrected, every call of
that process fails in the same way until it is started anew (NVIDIA, CUDA Runtime API, `cudaError`).
They are the errors of which it is known that a restart helps. HIP has them under the same words. A
device that is out of memory is not dead.
"""

from __future__ import annotations

import re

from serinus.core.evidence import CanaryFailed, EngineDied

__all__ = ["death_in", "failed_for_good", "says_dead"]

_NAMES = ("EngineDeadError", "EngineDiedError")
"""Exceptions by which engines say that they are gone (vLLM's is the first)."""
_ANSWERS = (*_NAMES, "EngineCore encountered an issue")
"""vLLM's, as it answers requests between the death of its core and its own end."""
_STAYS = re.compile(
    r"\b(CUDA|HIP) error\b.*("
    "an illegal memory access was encountered"
    "|an illegal instruction was encountered"
    "|device-side assert triggered"
    "|hardware stack error"
    "|invalid program counter"
    "|misaligned address"
    "|operation not supported on global/shared address space"
    "|the launch timed out and was terminated"
    "|uncorrectable ECC error encountered"
    "|unspecified launch failure)",
    re.DOTALL,
)
"""`cudaGetErrorString` of 214, 700, 702, 710, 714 to 719, after the words by which PyTorch, vLLM's
and llama.cpp's kernels, and TGI tell of them."""
_DEPTH = 8
"""Causes of causes that are looked at."""
_LONGEST = 4096
"""Characters of an answer or a message that are looked at."""


def death_in(error: BaseException) -> bool:
    """Say whether an exception is an engine's own word that it is dead, chained causes included."""
    seen: BaseException | None = error
    for _ in range(_DEPTH):
        if seen is None:
            return False
        if any(kind.__name__ in _NAMES for kind in type(seen).__mro__) or _stays(str(seen)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def says_dead(answer: str) -> bool:
    """Say whether an answer is an engine's own word that it is dead, and not just one bad answer.

    >>> says_dead("HTTP 500: CUDA error: device-side assert triggered")
    True
    >>> says_dead("HTTP 500: CUDA error: out of memory")
    False
    """
    return any(word in answer for word in _ANSWERS) or _stays(answer)


def failed_for_good(
    failed: CanaryFailed, error: BaseException | None = None
) -> tuple[CanaryFailed | EngineDied, ...]:
    """Return a failed canary, and the death that its error, or else its detail, tells of."""
    dead = says_dead(failed.detail) if error is None else death_in(error)
    return (failed, EngineDied(failed.at, failed.detail)) if dead else (failed,)


def _stays(text: str) -> bool:
    return _STAYS.search(text[:_LONGEST]) is not None
