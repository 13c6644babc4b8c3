"""Record what a real engine answers, so that the simulator can be held to it.

    python tests/sim/recording.py http://127.0.0.1:8000 tests/sim/fixtures/vllm-0.32 [PID]

Each exchange becomes one JSON file: the request as sent, then status, headers and body as
received. Metrics pages are text files. With the pid of EngineCore, the last two exchanges are of
an engine whose core is killed (SIGKILL). Standard library only: it runs beside any engine.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

MODEL = "tiny"
KEPT_HEADERS = ("allow", "content-type", "content-length", "transfer-encoding", "server")
COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
HELLO = [{"role": "user", "content": "the engine"}]


def ask(url: str, method: str, path: str, body: Any = None, raw: str | None = None) -> Any:
    """Send one request and return the exchange as JSON-ready values."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=120)
    sent = raw if raw is not None else (None if body is None else json.dumps(body))
    headers = {} if sent is None else {"Content-Type": "application/json"}
    exchange: dict[str, Any] = {
        "request": {"method": method, "path": path, "json": body, "raw": raw},
    }
    try:
        connection.request(method, path, sent, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        exchange["status"] = answer.status
        exchange["headers"] = {
            name.lower(): value
            for name, value in answer.getheaders()
            if name.lower() in KEPT_HEADERS
        }
        exchange["body"] = text
    except (OSError, http.client.HTTPException) as failure:
        exchange["failure"] = type(failure).__name__
    finally:
        connection.close()
    return exchange


def exchanges() -> dict[str, tuple[str, str, Any, str | None]]:
    """Name every exchange that is worth keeping: method, path, JSON body, raw body."""

    def completion(**fields: Any) -> tuple[str, str, Any, None]:
        return ("POST", COMPLETIONS, {"model": MODEL, "temperature": 0, **fields}, None)

    def chat(**fields: Any) -> tuple[str, str, Any, None]:
        body = {"model": MODEL, "temperature": 0, "messages": HELLO, **fields}
        return ("POST", CHAT, body, None)

    usage = {"stream_options": {"include_usage": True}}
    steady = {"stream_options": {"include_usage": True, "continuous_usage_stats": True}}
    return {
        "health": ("GET", "/health", None, None),
        "health-head": ("HEAD", "/health", None, None),
        "ping": ("GET", "/ping", None, None),
        "ping-post": ("POST", "/ping", None, None),
        "load": ("GET", "/load", None, None),
        "version": ("GET", "/version", None, None),
        "models": ("GET", "/v1/models", None, None),
        "completion": completion(prompt="the engine", max_tokens=4, ignore_eos=True),
        "completion-ids": completion(prompt=[1, 5, 6], max_tokens=4, ignore_eos=True),
        "completion-two-prompts": completion(prompt=["the", "engine"], max_tokens=2),
        "completion-two-id-prompts": completion(prompt=[[1, 5], [6]], max_tokens=2),
        "completion-token-ids": completion(prompt=[1, 5], max_tokens=2, return_token_ids=True),
        "completion-default-length": completion(prompt=[1, 5], ignore_eos=True),
        "completion-zero-tokens": completion(prompt=[1, 5], max_tokens=0),
        "stream": completion(prompt="the engine", max_tokens=4, ignore_eos=True, stream=True),
        "stream-one": completion(prompt=[1], max_tokens=1, ignore_eos=True, stream=True),
        "stream-usage": completion(prompt=[1, 5], max_tokens=2, stream=True, **usage),
        "stream-steady-usage": completion(prompt=[1, 5], max_tokens=2, stream=True, **steady),
        "stream-token-ids": completion(
            prompt=[1, 5], max_tokens=2, stream=True, return_token_ids=True
        ),
        "chat": chat(max_tokens=4, ignore_eos=True),
        "chat-stream": chat(max_tokens=4, ignore_eos=True, stream=True),
        "chat-stream-usage": chat(max_completion_tokens=2, stream=True, **usage),
        "chat-token-ids": chat(max_tokens=2, return_token_ids=True),
        "chat-stream-token-ids": chat(max_tokens=2, return_token_ids=True, stream=True),
        "error-bad-json": ("POST", COMPLETIONS, None, "{not json"),
        "error-no-prompt": completion(max_tokens=1),
        "error-no-model": ("POST", COMPLETIONS, {"prompt": "the", "max_tokens": 1}, None),
        "error-empty-prompt": completion(prompt="", max_tokens=1),
        "error-empty-ids": completion(prompt=[], max_tokens=1),
        "error-bad-prompt": completion(prompt=3.5, max_tokens=1),
        "error-unknown-model": (
            "POST",
            COMPLETIONS,
            {"model": "nobody", "prompt": "the", "max_tokens": 1},
            None,
        ),
        "error-negative-max-tokens": completion(prompt="the", max_tokens=-1),
        "error-word-max-tokens": completion(prompt="the", max_tokens="many"),
        "error-too-long": completion(prompt=[1] * 3000, max_tokens=1),
        "error-too-long-together": completion(prompt=[1] * 2000, max_tokens=100),
        "error-token-id": completion(prompt=[999999], max_tokens=1),
        "error-usage-without-stream": completion(prompt="the", max_tokens=1, **usage),
        "error-no-messages": ("POST", CHAT, {"model": MODEL, "max_tokens": 1}, None),
        "error-empty-messages": ("POST", CHAT, {"model": MODEL, "messages": []}, None),
        "error-unknown-path": ("GET", "/v1/nothing", None, None),
        "error-wrong-method": ("GET", COMPLETIONS, None, None),
    }


def keep(folder: Path, name: str, exchange: Any) -> None:
    """Write one exchange; a prompt of thousands of ids is told, not listed."""
    body = exchange["request"]["json"]
    prompt = body.get("prompt") if isinstance(body, dict) else None
    if isinstance(prompt, list) and len(prompt) > 50:
        exchange["request"]["json"] = {**body, "prompt": f"{len(prompt)} token ids"}
    (folder / f"{name}.json").write_text(json.dumps(exchange, indent=1) + "\n")


def record(url: str, folder: Path) -> None:
    """Record the idle page, every exchange, and the page under load."""

    def page(name: str) -> None:
        (folder / f"metrics-{name}.txt").write_text(ask(url, "GET", "/metrics")["body"])

    page("idle")
    for name, (method, path, body, raw) in exchanges().items():
        keep(folder, name, ask(url, method, path, body, raw))
    long = {"model": MODEL, "prompt": [1, 5], "max_tokens": 300, "ignore_eos": True}
    crowd = [threading.Thread(target=ask, args=(url, "POST", COMPLETIONS, long)) for _ in range(12)]
    for each in crowd:
        each.start()
    time.sleep(1.0)
    page("busy")
    keep(folder, "load-busy", ask(url, "GET", "/load"))
    for each in crowd:
        each.join()


def record_death(url: str, folder: Path, pid: int) -> None:
    """Kill the core under a stream and under a plain request, and keep what each saw."""
    body = {"model": MODEL, "prompt": [1, 5], "max_tokens": 1900, "ignore_eos": True}
    seen: dict[str, Any] = {}

    def watch(name: str, fields: dict[str, Any]) -> None:
        seen[name] = ask(url, "POST", COMPLETIONS, fields)

    watchers = [
        threading.Thread(target=watch, args=("died-stream", {**body, "stream": True})),
        threading.Thread(target=watch, args=("died-plain", body)),
    ]
    for each in watchers:
        each.start()
    time.sleep(1.0)
    os.kill(pid, signal.SIGKILL)
    for each in watchers:
        each.join()
    for name, exchange in seen.items():
        text = exchange.get("body", "")
        exchange["body"] = text if len(text) < 2000 else "…" + text[-2000:]
        keep(folder, name, exchange)


if __name__ == "__main__":
    target = Path(sys.argv[2])
    target.mkdir(parents=True, exist_ok=True)
    record(sys.argv[1], target)
    if len(sys.argv) > 3:
        record_death(sys.argv[1], target, int(sys.argv[3]))
