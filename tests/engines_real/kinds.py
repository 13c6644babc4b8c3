"""What the tests of real engines need to know of each: its parts, its ways, its own health."""

from __future__ import annotations

from typing import Any, NamedTuple


class Part(NamedTuple):
    """A part of an engine that can be kept from running: a process, or one thread of it."""

    process: str
    """What its name begins with, in /proc/PID/comm: at most 15 characters."""
    thread: str = ""
    """`main`, `busiest` (while something is generated), or none: the whole process."""


class Kind(NamedTuple):
    """An engine, by what `--engine` calls it."""

    name: str
    scheduler: Part
    """What decides which request runs next. The server's routes live elsewhere."""
    worker: Part
    """What a generation cannot go on without, if there is something beside the scheduler."""
    killed: Part
    flags: tuple[str, ...] = ()
    """For the sidecar, in every test."""
    waits: tuple[str, ...] = ()
    """For the sidecar, where 16 long generations are before a canary and nothing tells of them."""
    body: tuple[tuple[str, Any], ...] = (("ignore_eos", True),)
    """What a request has besides, so that it is as long as was asked."""
    paced: bool = True
    """Whether its page tells how long a token takes under users' work."""
    lies: bool = True
    """Whether its own /health says 200 throughout, while its scheduler is frozen."""


_GENERATING = Part("transformers", "busiest")
_LOOP = Part("llama-server", "main")

KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "vllm",
            scheduler=Part("VLLM::EngineCor"),
            worker=Part("VLLM::Worker"),
            killed=Part("VLLM::EngineCor"),
        ),
        Kind(
            "sglang",
            scheduler=Part("sglang::schedul"),
            worker=Part("sglang::detoken"),
            killed=Part("sglang::schedul"),
            lies=False,  # it generates, and says 503 after 20 s
        ),
        Kind("llamacpp", scheduler=_LOOP, worker=_LOOP, killed=Part("llama-server")),
        Kind(
            "transformers",
            scheduler=_GENERATING,
            worker=_GENERATING,
            killed=Part("transformers"),
            # Without a cache of models it cannot list any.
            flags=("--model=tiny",),
            # It tells nothing of a queue: the time that a canary gets has to cover it.
            waits=("--health-check-request-timeout=300", "--canary-wait-time=1"),
            body=(),  # fields that it does not know are refused
            paced=False,  # it has no page
        ),
    )
}
