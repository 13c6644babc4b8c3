"""A worker around vLLM's AsyncLLM, as a user would write one; settings come from the environment.

Prints `address URL` when its status port is up. Reads lines from standard input:
`generate STREAMS TOKENS` starts that many streams of users, each so many tokens long, and prints
`user: first token` and `user: last token` for each.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator
from typing import Any

from serinus import Runtime, VllmHealthCheckPayload


async def main(model: str) -> None:
    """Serve until SIGTERM."""
    async with Runtime() as runtime:
        print("address", runtime.address, flush=True)
        with runtime.hold("loading the model"):
            engine = await asyncio.to_thread(load, model)
        runtime.monitor_engine(engine, shutdown=True)

        async def generate(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
            from vllm import SamplingParams

            params = SamplingParams(
                temperature=0.0,
                ignore_eos=True,
                max_tokens=request["stop_conditions"]["max_tokens"],
            )
            prompt = {"prompt_token_ids": request["token_ids"]}
            sent = 0
            async for output in engine.generate(prompt, params, request_id=str(uuid.uuid4())):
                tokens = list(output.outputs[0].token_ids)
                yield {"token_ids": tokens[sent:]}
                sent = len(tokens)

        endpoint = runtime.endpoint("test.vllm.generate")

        async def user(tokens: int) -> None:
            request = {"token_ids": [1, 5, 9], "stop_conditions": {"max_tokens": tokens}}
            try:
                stream = endpoint.stream(request)
                await anext(stream)
                print("user: first token", flush=True)
                async for _ in stream:
                    pass
                print("user: last token", flush=True)
            except Exception as error:  # noqa: BLE001 - a killed engine fails its users
                print("user failed:", type(error).__name__, flush=True)

        async def users() -> None:
            reader = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(reader)
            loop = asyncio.get_running_loop()
            await loop.connect_read_pipe(lambda: protocol, sys.stdin)
            crowd: set[asyncio.Task[None]] = set()
            while line := await reader.readline():
                _, streams, tokens = line.split()
                for _ in range(int(streams)):
                    task = asyncio.create_task(user(int(tokens)))
                    crowd.add(task)
                    task.add_done_callback(crowd.discard)

        runtime.start_task(users(), name="users")
        await endpoint.serve_endpoint(generate, health_check_payload=VllmHealthCheckPayload(engine))


def load(model: str) -> Any:
    """Load the engine; this takes half a minute, and the status port answers meanwhile."""
    from vllm.v1.engine.async_llm import AsyncLLM

    from vllm import AsyncEngineArgs

    arguments = AsyncEngineArgs(model=model, enforce_eager=True, max_model_len=2048, max_num_seqs=8)
    return AsyncLLM.from_engine_args(arguments)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
