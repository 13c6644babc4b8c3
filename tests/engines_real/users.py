"""Users of a real engine: streamed generations, one after the other, in threads."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.request
from typing import Any


class User:
    """Asks for streamed generations until it is told to stop; counts what fails, and asks anew."""

    def __init__(self, url: str, *, tokens: int, body: dict[str, Any], rounds: int | None) -> None:
        self.chunks = 0
        """Pieces of answers so far."""
        self.answered = 0
        """Generations that came to their end."""
        self.failed = 0
        self._rounds = rounds
        self._over = threading.Event()
        asked = {"model": "tiny", "prompt": "the engine", "max_tokens": tokens, "stream": True}
        self._request = urllib.request.Request(
            f"{url}/v1/completions",
            data=json.dumps({**asked, **body}).encode(),
            headers={"content-type": "application/json"},
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set() and self.answered != self._rounds:
            try:
                self._ask()
            except (OSError, http.client.HTTPException):
                self.failed += 1
                self._over.wait(0.5)

    def _ask(self) -> None:
        with urllib.request.urlopen(self._request, timeout=600) as answer:
            for line in answer:
                if line.startswith(b"data: {"):
                    self.chunks += 1
                if self._over.is_set():
                    return
        self.answered += 1

    def stop(self) -> None:
        """Ask nothing more; a generation under way is given up at its next piece."""
        self._over.set()

    def join(self, seconds: float) -> bool:
        """Wait for the last generation's end; return whether it came."""
        self._thread.join(seconds)
        return not self._thread.is_alive()
