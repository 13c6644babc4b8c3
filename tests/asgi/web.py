"""A FastAPI server with one line of ours, under uvicorn; its faults are switched by GET.

Usage: python tests/asgi/web.py PORT
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from serinus.asgi import HealthMiddleware

app = FastAPI()
app.add_middleware(HealthMiddleware)
thawed = asyncio.Event()
thawed.set()


@app.get("/v1/models")
async def models() -> dict[str, Any]:
    """List the one model."""
    return {"object": "list", "data": [{"id": "tiny", "object": "model"}]}


@app.get("/fault/{name}")
async def fault(name: str) -> str:
    """Hang, or go on."""
    (thawed.clear if name == "hang" else thawed.set)()
    return name


@app.post("/v1/completions")
async def completions(body: dict[str, Any]) -> StreamingResponse:
    """Stream as many tokens as are asked for."""

    async def tokens() -> AsyncIterator[str]:
        for _ in range(body["max_tokens"]):
            await thawed.wait()
            await asyncio.sleep(0.01)
            item = {"object": "text_completion", "choices": [{"index": 0, "text": "x"}]}
            yield f"data: {json.dumps(item)}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(tokens(), media_type="text/event-stream")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
