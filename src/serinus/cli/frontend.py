"""`serinus frontend`: one view of a whole fleet, over HTTP."""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from serinus.cli.flags import add_setting_flags, loaded
from serinus.cli.logs import log_to_stderr
from serinus.settings import Settings
from serinus.settings.table import Group

if TYPE_CHECKING:
    from serinus.frontend.frontend import Frontend

__all__ = ["DEFAULTS", "add_arguments", "run"]

DEFAULTS: dict[str, object] = {"discovery_backend": "file"}
"""What the program takes where nobody says anything."""
EPILOG = """\
what it answers:
  /health                     the fleet: endpoints and instances; ?instances=false leaves those out,
                              ?verbose (from this machine, or with the token) says why
  /live                       whether this process runs; 200 until it has drained
  /v1/models                  the models that can be served now
  /v1/models/MODEL/ready      200 or 503, and which worker types are missing
  /capacity                   what may serve, for autoscalers
  /events                     the state, then every change (server-sent events)
  /metrics, /dashboard        for Prometheus, for people

examples:
  DYN_DISCOVERY_BACKEND=etcd ETCD_ENDPOINTS=http://10.0.0.1:2379 serinus frontend
      the fleet that announces itself in etcd, on port 8000
  serinus frontend --http-port 9000 --frontend-requires '*'
      not ready itself while nothing may serve
  curl -s localhost:8000/health?verbose | python3 -m json.tool
      why an instance is not ready, who cannot be reached, what could not be read

Start several for availability: each has its own view, and one of them probes the fleet from
outside for all.

exit codes: 0 ended by SIGTERM or SIGINT · 2 wrong command line or setting, or the port is taken
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add every setting that concerns a frontend."""
    parser.usage = "%(prog)s [--SETTING VALUE ...]"
    parser.epilog = EPILOG
    groups = (Group.FRONTEND, Group.DISCOVERY, Group.DETAILS)
    add_setting_flags(parser, groups=groups, omit=("history_size",), defaults=DEFAULTS)


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    settings = loaded(arguments, defaults=DEFAULTS).settings
    log_to_stderr()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings))
    return 0


async def _serve(settings: Settings) -> None:
    # Only now, so that --help needs no extra.
    from serinus.frontend.frontend import Frontend  # noqa: PLC0415

    async with Frontend(settings) as frontend:
        place = frontend.discovery.backend.place
        print(
            f"serinus frontend: the fleet in {place}; /health, /events and /dashboard on "
            f"{frontend.address}",
            flush=True,
        )
        settling = asyncio.create_task(_settle(frontend), name="settling")
        await frontend.stopped()
        settling.cancel()


async def _settle(frontend: Frontend) -> None:
    """Leave the fleet out of the garbage collector's rounds once it is there.

    A full round over 100,000 instances holds every answer up for 50 ms, and finds nothing.
    """
    await frontend.listed()
    gc.collect()
    gc.freeze()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's, where it is installed: the extra brings it where it can be built."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    return factory
