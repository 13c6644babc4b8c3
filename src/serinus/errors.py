"""Every error that Serinus raises on purpose. The type says who is to blame.

A failed canary is not an error: it is evidence. Text from outside is cut short before it gets
into a message, and credentials never do.
"""

from __future__ import annotations

__all__ = [
    "DiscoveryError",
    "EngineError",
    "LifecycleError",
    "MissingExtraError",
    "RequestError",
    "SerinusError",
    "SettingsError",
    "StatusError",
    "TraceError",
    "excerpt",
]


class SerinusError(Exception):
    """The base of all of them."""


class SettingsError(SerinusError, ValueError):
    """You wrote it wrong: the message names the setting, its value and what is accepted."""


class MissingExtraError(SerinusError, ImportError):
    """A part was asked for whose extra is not installed: the message says what to install."""

    def __init__(self, *, what: str, extra: str) -> None:
        super().__init__(f'{what} needs an extra: pip install "serinus[{extra}]"')
        self.extra = extra


class EngineError(SerinusError):
    """The engine broke the deal: the message has its status and a short, safe excerpt."""


class DiscoveryError(SerinusError):
    """The discovery backend failed us: the message has its address; the cause is chained."""


class RequestError(SerinusError):
    """A request that was sent to an instance failed, whose `fault` the request plane names.

    `started`: some of the answer had come before, so that it was not asked for elsewhere.
    """

    def __init__(self, message: str, *, fault: str, started: bool = False) -> None:
        super().__init__(message)
        self.fault = fault
        self.started = started


class StatusError(SerinusError):
    """The status process could not be started, so nobody would hear the verdict."""


class TraceError(SerinusError):
    """A trace cannot be read or written: the message has the file, the place and why."""


class LifecycleError(SerinusError, RuntimeError):
    """A thing was used before it was started or after it was closed."""


def excerpt(text: object, *, limit: int = 200) -> str:
    r"""Foreign text on one line, cut to `limit` characters.

    >>> excerpt("a\nb")
    'a b'
    >>> excerpt("x" * 300, limit=5)
    'xxxx…'
    """
    line = " ".join(str(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
