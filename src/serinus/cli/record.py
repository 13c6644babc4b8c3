"""`serinus record`: record what is seen of engines to a file; mark and show such files."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from serinus.cli.engine_process import EngineProcess, placed
from serinus.cli.flags import add_setting_flags, loaded
from serinus.cli.logs import log_to_stderr
from serinus.cli.sidecar import UNUSED, add_engines, add_groups, sidecar_of, where
from serinus.cli.traces import as_json, as_table, damage_in, read_traces
from serinus.errors import SettingsError, excerpt
from serinus.settings import Settings
from serinus.settings.kinds import RefusedError, Seconds
from serinus.traces.marking import append_mark

__all__ = ["DEFAULTS", "add_arguments", "run"]

DEFAULTS: dict[str, object] = {"health_check_enabled": True, "system_port": -1}
"""What the program takes where nobody says anything."""
_SECONDS = Seconds(0.001)
_GLANCE = 0.1
EPILOG = """\
examples:
  serinus record -o engine.trace --engine vllm --url http://127.0.0.1:8000
      watch an engine as the sidecar does, and record it until a signal ends it
  serinus record -o engine.trace --engine vllm -- vllm serve my/model --port {port}
      start it as well; {port} becomes a free port
  serinus record mark engine.trace 'fault: EngineCore SIGSTOP begins'
      say what is going on, in a file that is being written; say likewise when it ends
  serinus record show engine.trace
      print it, with the damage if there is any; --json for programs

A sidecar and a worker record too: --record FILE, or SERINUS_RECORD. `serinus replay` plays other
settings over what was recorded.

exit codes: 0 done · 1 shown as far as it could be read, and it is damaged
            2 wrong command line or setting, no trace, or of a newer version
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the file, what is watched, and every setting."""
    parser.usage = (
        "%(prog)s -o FILE [--engine NAME] [--url URL ...] [--for SECONDS] [--SETTING VALUE ...]"
        " [-- COMMAND ...]\n       %(prog)s mark FILE TEXT\n       %(prog)s show [--json] FILE"
    )
    parser.epilog = EPILOG
    group = parser.add_argument_group("The recording")
    group.add_argument("-o", "--output", metavar="FILE", help="what is recorded is appended here")
    group.add_argument(
        "--for", dest="seconds", metavar="SECONDS", help="end after this time, such as 90 or 5m"
    )
    # Takes the file that may follow it: argparse would not give it to the words before the flag.
    group.add_argument(
        "--json", nargs="?", const="", metavar="FILE", help="show: print JSON, an entry a line"
    )
    group.add_argument(
        "words",
        metavar="COMMAND",
        nargs="*",
        help="what starts the engine, after --; or 'mark FILE TEXT' or 'show FILE'",
    )
    add_engines(parser)
    add_groups(parser)
    add_setting_flags(parser, omit=(*UNUSED, "record"), defaults=DEFAULTS)


def run(arguments: argparse.Namespace) -> int:
    """Record, mark or show."""
    words = [*arguments.words, *([arguments.json] if arguments.json else [])]
    if arguments.output is not None:
        return _record(arguments)
    if words[:1] == ["mark"] and len(words) > 2:
        append_mark(Path(words[1]), " ".join(words[2:]))
        return 0
    if words[:1] == ["show"] and len(words) == 2:
        return _show(words[1], as_lines=arguments.json is not None)
    shown = excerpt(" ".join(words), limit=80)
    raise SettingsError(
        f"record {shown}: accepted: -o FILE and what to watch, 'mark FILE TEXT' or 'show FILE'"
    )


def _show(file: str, *, as_lines: bool) -> int:
    [trace] = read_traces([file])
    if as_lines:
        for entry in as_json(trace):
            print(json.dumps(entry, ensure_ascii=False))
    else:
        for line in as_table(trace):
            print(line)
    sys.stdout.flush()
    return 1 if damage_in(file, trace) else 0


def _record(arguments: argparse.Namespace) -> int:
    seconds = None if arguments.seconds is None else _read_seconds(arguments.seconds)
    result = loaded(_with_file(arguments), defaults={**DEFAULTS, "record": None})
    command, url = placed(arguments.words) if arguments.words else ([], None)
    if url is not None and not (arguments.url or arguments.target):
        arguments.url = [url]
    log_to_stderr()
    asyncio.run(_Recording(arguments, result.settings, command).run(seconds))
    return 0


def _with_file(arguments: argparse.Namespace) -> argparse.Namespace:
    """Make the file that was named the setting `record`, as a flag would."""
    return argparse.Namespace(**{**vars(arguments), "setting.record": arguments.output})


def _read_seconds(text: str) -> float:
    try:
        return _SECONDS.read(text)
    except RefusedError:
        shown = repr(excerpt(text, limit=40))
        raise SettingsError(f"--for {shown}: accepted: {_SECONDS.accepted}") from None


class _Recording:
    """An engine if one is to be started, and a sidecar that records, until a signal or the time."""

    def __init__(
        self, arguments: argparse.Namespace, settings: Settings, command: Sequence[str]
    ) -> None:
        self._settings = settings
        self._command = command
        self._sidecar = sidecar_of(arguments, settings)

    async def run(self, seconds: float | None) -> None:
        """Record."""
        file = self._settings.record
        async with AsyncExitStack() as opened:
            process = None
            if self._command:
                process = EngineProcess(self._command)
                process.start()
                opened.push_async_callback(process.end)
            await opened.enter_async_context(self._sidecar)
            print(
                f"serinus record: recording to {file}; {where(self._sidecar)}\n"
                f"mark it with: serinus record mark {file} 'fault: ... begins'",
                flush=True,
            )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._until_stopped(process)

    async def _until_stopped(self, process: EngineProcess | None) -> None:
        async with asyncio.TaskGroup() as group:
            watching = None
            if process is not None:
                watching = group.create_task(self._mark_end(process), name="watch of the process")
            await self._sidecar.stopped()
            if watching is not None:
                watching.cancel()

    async def _mark_end(self, process: EngineProcess) -> None:
        """Mark the end of the engine's process, and record on: what follows is of interest."""
        while (end := process.ended()) is None:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(_GLANCE)
        self._sidecar.runtime.mark(f"the engine's process ended: {end}")
