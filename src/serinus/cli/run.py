"""`serinus run`: an engine, Serinus watching it, and what to do to see it work."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple

from serinus.cli.engine_process import PORT, EngineProcess, placed
from serinus.cli.flags import add_setting_flags, loaded
from serinus.cli.sidecar import UNUSED, sidecar_of
from serinus.cli.transcript import Notes, Transcript
from serinus.engines import ENGINES
from serinus.errors import SettingsError, excerpt
from serinus.runtime.draining import SignalWatch
from serinus.settings import Settings
from serinus.status.dashboard import PATH as DASHBOARD

if TYPE_CHECKING:
    from serinus.sidecar.sidecar import Sidecar

__all__ = ["DEFAULTS", "add_arguments", "run"]

DEFAULTS: dict[str, object] = {
    "health_check_enabled": True,
    "system_port": 9090,
    "system_host": "127.0.0.1",
    "canary_wait_time": 2.0,
    "health_check_request_timeout": 1.0,
    "health_check_busy_stall": 10.0,
    "hang_budget": 15.0,
    "discovery_backend": "file",
    "request_plane": "off",
}
"""Shorter than in earnest, so that something is seen within seconds."""
_ENGINES = ("sim", "auto", *(engine.name for engine in ENGINES))
_GLANCE = 0.05
EPILOG = """\
examples:
  serinus run
      a simulated vLLM on a free port, watched; the commands to freeze and thaw it are printed
  serinus run --engine vllm -- vllm serve my/model --port {port}
      a real engine; {port} becomes a free port
  serinus run --engine vllm --url http://127.0.0.1:8000
      one that runs already

The engine ends with this command. Waits and budgets are shorter than the defaults of the sidecar.

exit codes: 0 ended by SIGTERM or SIGINT · 2 wrong command line or setting, no engine, port taken
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the engine, its command, and every setting."""
    parser.usage = "%(prog)s [--engine NAME] [--url URL] [--SETTING VALUE ...] [-- COMMAND ...]"
    parser.epilog = EPILOG
    group = parser.add_argument_group("The engine")
    group.add_argument(
        "--engine",
        metavar="sim|auto|vllm|…",
        default="sim",
        help="its kind; sim is a simulated vLLM with faults to try (default: sim)",
    )
    group.add_argument("--url", metavar="URL", help="where it is (default: by {port} of COMMAND)")
    group.add_argument(
        "command",
        metavar="COMMAND",
        nargs="*",
        help="what starts it, after --; a word {port} becomes a free port",
    )
    add_setting_flags(parser, omit=UNUSED, defaults=DEFAULTS)


def run(arguments: argparse.Namespace) -> int:
    """Run until a signal ends it."""
    plan = _plan(arguments)
    settings = loaded(arguments, defaults=DEFAULTS).settings
    asyncio.run(_Demo(arguments.engine.strip().lower(), settings, Transcript(sys.stdout)).run(plan))
    return 0


class _Plan(NamedTuple):
    """The command that starts the engine, if any, and its address, None of the simulator."""

    command: Sequence[str]
    url: str | None


def _plan(arguments: argparse.Namespace) -> _Plan:
    engine, command = arguments.engine.strip().lower(), list(arguments.command)
    if engine not in _ENGINES:
        shown = excerpt(arguments.engine, limit=80)
        raise SettingsError(f"engine: {shown!r} is not known; accepted: {', '.join(_ENGINES)}")
    if engine == "sim":
        if command or arguments.url:
            raise SettingsError(
                "--engine sim starts its own engine; accepted: --engine auto, or its kind, with "
                "a command or a --url"
            )
        return _Plan([sys.executable, "-m", "serinus", "sim", "--port", "0"], None)
    if arguments.url is not None:
        return _Plan(command, arguments.url)
    words, url = placed(command)
    if url is None:
        raise SettingsError(
            "no address of the engine; accepted: --url http://HOST:PORT, or a command in which "
            f"{PORT} stands for its port: serinus run --engine {engine} -- vllm serve MODEL "
            f"--port {PORT}"
        )
    return _Plan(words, url)


class _Demo:
    """The engine, the sidecar, and what is printed of them, until SIGTERM or SIGINT."""

    def __init__(self, engine: str, settings: Settings, transcript: Transcript) -> None:
        self._engine = engine
        self._settings = settings
        self._transcript = transcript
        self._process: EngineProcess | None = None
        self._told = 0
        self._stop = asyncio.Event()

    async def run(self, plan: _Plan) -> None:
        """Start everything, tell what happens, and end everything."""
        async with AsyncExitStack() as opened:
            signals = SignalWatch(self._stop.set)
            signals.open()
            opened.callback(signals.close)
            url = plan.url
            if plan.command:
                self._process = EngineProcess(plan.command)
                self._process.start()
                opened.push_async_callback(self._process.end)
                if url is None:
                    url = await self._process.said(r"http://[^\s']+", seconds=20)
            notes = Notes(self._transcript)
            logging.getLogger("serinus").addHandler(notes)
            opened.callback(logging.getLogger("serinus").removeHandler, notes)
            wanted = argparse.Namespace(
                engine="vllm" if self._engine == "sim" else self._engine,
                url=[url],
                target=[],
                metrics_port=None,
                ca_file=None,
            )
            sidecar = sidecar_of(wanted, self._settings, handle_signals=False)
            await opened.enter_async_context(sidecar)
            self._introduce(sidecar)
            await self._follow(sidecar)
            self._transcript.say("\nending …")
        if self._process is not None and self._process.log.exists():
            self._transcript.say(f"the engine failed; its output is in {self._process.log}")

    async def _follow(self, sidecar: Sidecar) -> None:
        """Tell of every change as it happens."""
        running, taught = True, self._engine == "sim"
        while not self._stop.is_set():
            self._tell(sidecar)
            ended = None if self._process is None else self._process.ended()
            if running and ended is not None:
                running = False
                self._transcript.line("engine", "ended", "", f"its process ended: {ended}")
            if not taught and sidecar.watches[0].serving:
                taught = True
                self._teach()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GLANCE):
                    await self._stop.wait()

    def _tell(self, sidecar: Sidecar) -> None:
        history = sidecar.runtime.board.history
        new = history.seen - self._told
        self._told = history.seen
        for transition in history.transitions[-new:] if new else ():
            self._transcript.changed(transition, name="engine")

    def _introduce(self, sidecar: Sidecar) -> None:
        """Say where everything is, and what to do with it."""
        say, settings = self._transcript.say, self._settings
        place, address = sidecar.targets[0].place, sidecar.address or "(no status port)"
        kind = {"sim": "a simulated vLLM engine"}.get(self._engine, f"an engine ({self._engine})")
        say(f"Serinus watches {kind}.\n")
        rows = {
            "the engine": str(place),
            "its own /health": f"{place}/health",
            "may traffic come?": f"{address}{settings.system_health_path}",
            "would a restart help?": f"{address}{settings.system_live_path}",
            "for people": f"{address}{DASHBOARD}",
            "why?": f"curl -s '{address}{settings.system_health_path}?verbose'",
            "metrics": f"{address}/metrics",
        }
        if self._process is not None:
            rows["the engine's output"] = str(self._process.log)
        for what, where in rows.items():
            say(f"  {what:<23}{where}")
        if self._engine == "sim":
            self._teach_sim(str(place))
        say(
            f"\nIdle, it is asked for a token every {settings.canary_wait_time:g} s"
            f" (--canary-wait-time) and has {settings.health_check_request_timeout:g} s for it"
            f"\n(--health-check-request-timeout). {_times(settings.failure_threshold)}: not ready;"
            f" hung for {settings.hang_budget:g} s\n(--hang-budget): not live. "
            "Ctrl-C ends the engine and Serinus.\n"
        )

    def _teach_sim(self, url: str) -> None:
        say = self._transcript.say
        say("\nFreeze it, in another terminal (its own /health goes on saying 200), and thaw it:\n")
        say(f"""  curl -s {url}/_sim/faults -d '{{"fault":"hang"}}'""")
        say(f"  curl -s -X DELETE {url}/_sim/faults")

    def _teach(self) -> None:
        """Say how to freeze an engine that is a process of ours, or of somebody else."""
        core = None if self._process is None else self._process.core()
        pid = core or (None if self._process is None else self._process.pid)
        if pid is None:
            return
        say = self._transcript.say
        what = "the process that generates" if core else "all of it"
        say(f"\nFreeze {what}, in another terminal:   kill -STOP {pid}")
        say(f"Thaw it:   kill -CONT {pid}\n")


def _times(failures: int) -> str:
    return "A failure" if failures == 1 else f"{failures} failures in a row"
