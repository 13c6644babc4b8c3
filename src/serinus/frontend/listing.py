"""All instances as one JSON array, kept in pieces, so that a change renders one piece anew."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["Listing"]

_SIZE = 512
"""Instances in a piece: few enough to join in microseconds, many enough for few writes."""


class Listing:
    """Fragments of JSON by key, in pieces. What was handed out is never changed."""

    def __init__(self, size: int = _SIZE) -> None:
        self._size = size
        self._pieces: list[_Piece] = []
        self._open: list[_Piece] = []
        """Pieces with room."""
        self._where: dict[str, _Piece] = {}
        self._chunks: tuple[bytes, ...] | None = ()
        self.length = 0
        """Bytes of all chunks; current once `chunks` was called."""

    def __contains__(self, key: object) -> bool:
        return key in self._where

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)

    def put(self, key: str, fragment: bytes) -> None:
        """Add a fragment, or another one for its key."""
        piece = self._where.get(key)
        if piece is None:
            piece = self._with_room()
            self._where[key] = piece
        piece.fragments[key] = fragment
        piece.joined = None
        self._chunks = None

    def remove(self, key: str) -> None:
        """Remove a fragment, if it is there."""
        piece = self._where.pop(key, None)
        if piece is None:
            return
        if len(piece.fragments) == self._size:
            self._open.append(piece)
        del piece.fragments[key]
        piece.joined = None
        self._chunks = None

    def get(self, key: str) -> bytes | None:
        """Return a fragment."""
        piece = self._where.get(key)
        return None if piece is None else piece.fragments[key]

    def chunks(self) -> tuple[bytes, ...]:
        """Return what stands between the brackets of the array, in a few chunks.

        >>> listing = Listing(size=1)
        >>> listing.put("a", b"1")
        >>> listing.put("b", b"2")
        >>> listing.chunks()
        (b'1', b',2')
        """
        if self._chunks is None:
            chunks = [piece.render() for piece in self._pieces if piece.fragments]
            if chunks:
                chunks[0] = chunks[0][1:]
            self._chunks = tuple(chunks)
            self.length = sum(map(len, chunks))
        return self._chunks

    def _with_room(self) -> _Piece:
        while self._open:
            piece = self._open[-1]
            if len(piece.fragments) < self._size:
                return piece
            self._open.pop()
        piece = _Piece()
        self._pieces.append(piece)
        self._open.append(piece)
        return piece


class _Piece:
    """Some fragments, and the same joined, with a comma before."""

    __slots__ = ("fragments", "joined")

    def __init__(self) -> None:
        self.fragments: dict[str, bytes] = {}
        self.joined: bytes | None = None

    def render(self) -> bytes:
        if self.joined is None:
            self.joined = b"," + b",".join(self.fragments.values())
        return self.joined
