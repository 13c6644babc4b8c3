"""`serinus sim`: a simulated engine, with faults to try settings on."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

from serinus.errors import SettingsError
from serinus.sim.engine import Pace
from serinus.sim.faults import ABOUT, VALUED, Fault, Plan, parse_plan, parse_seconds
from serinus.sim.loading import LoadShape
from serinus.sim.options import EngineName, SimOptions
from serinus.sim.server import CRASH_CODE, Simulator

__all__ = ["add_arguments", "run"]

EPILOG = f"""\
faults:
{chr(10).join(f"  {fault:<15} {about}" for fault, about in ABOUT.items())}
  Written NAME[:rank=N][=VALUE][@START][+DURATION]; START counts from the start
  of the program. Without a rank all have it, without START it is on at once,
  without DURATION for good.
  Durations: 500ms, 20, 20s, 2m, 1h. While it runs, faults are put on by
  POST /_sim/faults and taken off by DELETE /_sim/faults, from this machine only.

examples:
  serinus sim
      vLLM's API and metrics on http://127.0.0.1:8000, healthy
  serinus sim --fault hang@30s+20s
      frozen for 20 s after half a minute, while its /health says 200
  serinus sim --ranks 4 --fault hang:rank=2@30s+20s
      four data-parallel ranks, of which one freezes
  serinus sim --engine openai --port 0 --load-seconds 20 --slots 2
      a plain server on a free port that needs 20 s to load
  curl -s http://127.0.0.1:8000/_sim/faults -d '{{"fault":"hang","seconds":20}}'
      the same freeze, now

exit codes: 0 stopped by SIGTERM or SIGINT · 2 wrong command line, or port in use
            {CRASH_CODE} the fault crash
"""

T = TypeVar("T")
W = TypeVar("W", bound=StrEnum)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags; values stay text, so that our own messages can speak of them."""
    pace = Pace()
    parser.epilog = EPILOG
    parser.description = (
        "Simulate an inference engine: real routes, streaming and batching in time, no model.\n"
        "Its own /health says what the real one's says, and it can be made to fail."
    )

    def add(flag: str, metavar: str, default: object, about: str) -> None:
        shown = "" if default is None else f" (default: {default})"
        value = None if default is None else str(default)
        parser.add_argument(flag, metavar=metavar, default=value, help=about + shown)

    add("--engine", "|".join(EngineName), EngineName.VLLM, "the engine whose API it has")
    add("--host", "HOST", "127.0.0.1", "the address to listen on")
    add("--port", "PORT", 8000, "the port; 0 takes a free one and prints it")
    add("--control-port", "PORT", None, "a loopback port with the fault routes alone, for `refuse`")
    add("--model", "NAME", "tiny", "the name of the model")
    add("--context", "TOKENS", 8192, "the longest prompt with its answer")
    add("--slots", "N", pace.slots, "sequences that run at once")
    add("--queue", "N", pace.queue, "sequences that may wait; beyond them it answers 503")
    add("--step", "DURATION", "20ms", "time of one step: one token for each running sequence")
    add("--prefill", "DURATION", "0.1ms", "time to read one token of a prompt")
    add("--batch-tokens", "TOKENS", pace.batch_tokens, "prompt tokens read in one step at most")
    add("--answer-tokens", "TOKENS", pace.answer_tokens, "length of an answer that is not cut")
    add("--ranks", "N", 1, "data-parallel ranks, each with these slots (vllm and sglang)")
    add("--load-seconds", "DURATION", "0", "time until the model is loaded")
    add(
        "--load-shape",
        "|".join(LoadShape),
        None,
        "what is seen meanwhile: the port closed, the list of models empty, or each for half of"
        " it (default: as the engine does)",
    )
    parser.add_argument(
        "--enable-server-load-tracking",
        action="store_true",
        help="let /load count requests; as with vLLM, it says 0 otherwise",
    )
    parser.add_argument(
        "--fault",
        metavar="FAULT",
        action="append",
        default=[],
        help="plan a fault, as hang@30s+20s; may be given again",
    )


def run(arguments: argparse.Namespace) -> int:
    """Simulate until a signal ends it."""
    asyncio.run(_serve(options_of(arguments)))
    return 0


def options_of(arguments: argparse.Namespace) -> SimOptions:
    """Read the flags.

    Raises:
        SettingsError: The message names the flag, its value and what is accepted.
    """
    given = vars(arguments)

    def whole(name: str) -> int:
        return _read(name, given[name], int, "a whole number")

    def seconds(name: str) -> float:
        return _read(name, given[name], parse_seconds, "a duration as 500ms, 20, 20s, 2m or 1h")

    def word(name: str, words: type[W]) -> W:
        return _read(name, given[name], words, " or ".join(words))

    return SimOptions(
        engine=word("engine", EngineName),
        host=arguments.host,
        port=whole("port"),
        control_port=None if arguments.control_port is None else whole("control_port"),
        model=arguments.model,
        context=whole("context"),
        pace=Pace(
            slots=whole("slots"),
            queue=whole("queue"),
            step_seconds=seconds("step"),
            prefill_seconds=seconds("prefill"),
            batch_tokens=whole("batch_tokens"),
            answer_tokens=whole("answer_tokens"),
        ),
        ranks=whole("ranks"),
        load_seconds=seconds("load_seconds"),
        load_shape=None if arguments.load_shape is None else word("load_shape", LoadShape),
        load_tracking=arguments.enable_server_load_tracking,
        faults=tuple(_plan(text) for text in arguments.fault),
    )


def _read(name: str, text: str, reader: Callable[[str], T], accepted: str) -> T:
    try:
        return reader(text)
    except ValueError:
        flag = "--" + name.replace("_", "-")
        raise SettingsError(f"{flag} '{text}': accepted: {accepted}") from None


def _plan(text: str) -> Plan:
    try:
        return parse_plan(text)
    except SettingsError as failure:
        raise SettingsError(f"--fault '{text}': {failure}") from None


async def _serve(options: SimOptions) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Simulator(options) as simulator:
        print(greeting(options, simulator.url, simulator.control_url), flush=True)
        await simulator.serve(stop)


def greeting(options: SimOptions, url: str, control_url: str) -> str:
    """Say where it is and what can be done with it: lines to copy into a shell."""
    pace = options.pace
    ask = json.dumps({"model": options.model, "prompt": "the canary", "max_tokens": 5})
    faults = f"{control_url}/_sim/faults"
    title = (
        f"serinus sim: {options.engine} engine with the model '{options.model}' on {url}"
        f" ({pace.slots} slots, a queue of {pace.queue})"
    )
    lines = [
        title,
        "ask it for text:",
        f"  curl -s {url}/v1/completions -H 'Content-Type: application/json' -d '{ask}'",
        'put a fault on (without "seconds": for good):',
        *(f"  curl -s {faults} -d '{_trial(fault)}'" for fault in Fault),
        "take all faults off; see what is on:",
        f"  curl -s -X DELETE {faults}",
        f"  curl -s {control_url}/_sim",
    ]
    return "\n".join(lines)


def _trial(fault: Fault) -> str:
    """Write what puts a fault on for a while, or for good if the process does not outlive it."""
    asked: dict[str, object] = {"fault": fault}
    if fault is not Fault.CRASH:
        asked["seconds"] = 20
    if VALUED.get(fault) is not None:
        asked["value"] = VALUED[fault]
    return json.dumps(asked)
