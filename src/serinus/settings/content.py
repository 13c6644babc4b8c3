"""The content of a file that a person named: bounded, and with an error that can be shown."""

from __future__ import annotations

from serinus.settings.kinds import RefusedError

__all__ = ["content_of"]


def content_of(path: str, *, limit: int) -> bytes:
    """The bytes of a file of at most `limit` bytes; RefusedError, which never has any of them."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - importing pathlib costs 4 ms of a start
            content = file.read(limit + 1)
    except OSError as error:
        raise RefusedError(f"it cannot be read: {error.strerror}") from None
    except ValueError:
        raise RefusedError("it cannot be the path of a file") from None
    if len(content) > limit:
        raise RefusedError(f"it is larger than {limit} bytes")
    return content
