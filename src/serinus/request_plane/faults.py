"""Whose fault a failed request is, in the words that both sides of the plane use."""

from __future__ import annotations

import asyncio
from enum import StrEnum

from serinus.errors import RequestError, excerpt

__all__ = ["Fault", "failed", "fault_of"]


class Fault(StrEnum):
    """Why a request brought no answer, or no whole one."""

    CLIENT = "client"
    """The request is wrong: it would be so everywhere."""
    SERVER = "server"
    """The handler failed."""
    TIMEOUT = "timeout"
    """No answer in time."""
    TRANSPORT = "transport"
    """The instance cannot be reached, or the connection broke."""
    OVERLOADED = "overloaded"
    """It has too much to do, and said so."""
    UNAVAILABLE = "unavailable"
    """It is draining, or does not serve the endpoint, or there is no instance at all."""

    @property
    def elsewhere(self) -> bool:
        """Whether another instance may do better."""
        return self is not Fault.CLIENT

    @property
    def held_against(self) -> bool:
        """Whether it counts against the instance: not what it said itself, nor the client's own."""
        return self in (Fault.SERVER, Fault.TIMEOUT, Fault.TRANSPORT)


def fault_of(error: BaseException) -> Fault:
    """Say whose fault an exception of a handler is; engines raise ValueError for bad input.

    >>> fault_of(ValueError("token_ids is empty")), fault_of(RuntimeError("CUDA"))
    (<Fault.CLIENT: 'client'>, <Fault.SERVER: 'server'>)
    """
    if isinstance(error, RequestError):
        return Fault(error.fault)
    if isinstance(error, TimeoutError | asyncio.CancelledError):
        return Fault.TIMEOUT
    return Fault.CLIENT if isinstance(error, ValueError) else Fault.SERVER


def failed(error: BaseException) -> RequestError:
    """Return an exception of a handler as what the caller is told."""
    if isinstance(error, RequestError):
        return error
    told = RequestError(f"{type(error).__name__}: {excerpt(error)}", fault=fault_of(error))
    told.__cause__ = error
    return told
