"""The traces that come with Serinus: faults of real engines (traces/README.md has where from)."""

from __future__ import annotations

from pathlib import Path

__all__ = ["shipped", "shipped_file"]

_FOLDER = Path(__file__).parent / "traces"
_ENDINGS = (".trace.gz", ".trace")


def shipped() -> tuple[str, ...]:
    """Name them."""
    return tuple(sorted(_files()))


def shipped_file(name: str) -> Path | None:
    """Find the one with a name."""
    return _files().get(name)


def _files() -> dict[str, Path]:
    return {
        file.name.removesuffix(ending): file
        for ending in _ENDINGS
        for file in _FOLDER.glob(f"*{ending}")
    }
