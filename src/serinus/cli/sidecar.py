"""`serinus sidecar`: watch engines that somebody else runs."""

from __future__ import annotations

import argparse
import asyncio
import logging
from typing import TYPE_CHECKING

from serinus.cli.flags import add_setting_flags, loaded
from serinus.cli.logs import log_to_stderr
from serinus.errors import SettingsError, excerpt
from serinus.settings import Settings

if TYPE_CHECKING:
    from serinus.sidecar.sidecar import Sidecar

__all__ = [
    "DEFAULTS",
    "UNUSED",
    "add_arguments",
    "add_engines",
    "add_groups",
    "port_of",
    "run",
    "sidecar_of",
    "where",
]

logger = logging.getLogger("serinus")

DEFAULTS = {
    "health_check_enabled": True,
    "system_port": 9090,
    "discovery_backend": "file",
    "request_plane": "off",
}
"""What the program takes where nobody says anything."""
UNUSED = (
    "health_check_payload",
    "lenient_payload",
    "engine_health_check_timeout",
    "engine_health_check_max_failures",
    "engine_health_shutdown_timeout",
    "request_plane",
    "tcp_rpc_port",
    "http_rpc_port",
    "rpc_host",
    "rpc_concurrency",
    "rpc_queue",
    "rpc_request_bytes",
    "overload_status_code",
)
"""Settings of the library that mean nothing here."""
EPILOG = """\
examples:
  serinus sidecar --engine vllm --url http://127.0.0.1:8000
      answers on port 9090: /health, /live, /metrics, and why with ?verbose
  serinus sidecar --engine openai --target a=http://10.0.0.1:8000 --target b=http://10.0.0.2:8000
      two engines; ready only when both are
  serinus sidecar --engine auto --url http://127.0.0.1:8000
      whatever it is: it is recognised, and the log says by what
  serinus sidecar --target p=http://10.0.0.1:8000 --target d=http://10.0.0.2:8000
      --group pair=p:prefill,d:decode
      a prefill and a decode server; ready only with both, and the missing one is named
  SERINUS_API_KEY=... serinus sidecar --url https://engine:8000 --ca-file /etc/engine/ca.pem
      with a key and a certificate of one's own authority

While the engine is idle it is asked for one token; while it is busy its own metrics are read and
nothing is asked. An engine that is not there yet is loading: not ready, live, with the phase.

exit codes: 0 ended by SIGTERM or SIGINT · 2 wrong command line or setting, or the port is taken
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which engines are watched, and every setting."""
    parser.usage = "%(prog)s [--engine NAME] --url URL ... [--SETTING VALUE ...]"
    parser.epilog = EPILOG
    add_engines(parser)
    add_groups(parser)
    add_setting_flags(parser, omit=UNUSED, defaults=DEFAULTS)


def add_engines(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `targets_of` reads."""
    group = parser.add_argument_group("The engines")
    group.add_argument(
        "--engine",
        metavar="auto|vllm|sglang|…",
        default="vllm",
        help="their kind; auto recognises it, openai is any server that speaks OpenAI's API; all"
        " of them: serinus engines (default: vllm)",
    )
    group.add_argument(
        "--url",
        metavar="URL",
        action="append",
        default=[],
        help="where one is, such as http://127.0.0.1:8000; may be given again",
    )
    group.add_argument(
        "--target",
        metavar="NAME=URL",
        action="append",
        default=[],
        help="the same with a name, which makes its address serinus.NAME.generate;"
        " NAME:report=URL and NAME:notready=URL give it a degraded policy of its own",
    )
    group.add_argument(
        "--metrics-port",
        metavar="PORT",
        help="where their metrics pages are, if on another port of their host (Triton: 8002)",
    )
    group.add_argument(
        "--ca-file",
        metavar="FILE",
        help="the authorities for https in PEM format; without it, the system's",
    )


def add_groups(parser: argparse.ArgumentParser) -> None:
    """Add which engines serve together."""
    parser.add_argument_group("Groups").add_argument(
        "--group",
        metavar="NAME=TARGET,…",
        action="append",
        default=[],
        help="targets that serve together, of which --group-policy says how many must be ready;"
        " TARGET:prefill and TARGET:decode make a pair, NAME:sharded= those that are all or none;"
        " may be given again",
    )


def run(arguments: argparse.Namespace) -> int:
    """Watch until a signal ends it."""
    settings = loaded(arguments, defaults=DEFAULTS).settings
    sidecar = sidecar_of(arguments, settings)
    log_to_stderr()
    if settings.health_check_payload is not None:
        logger.warning("the payload that is set is for the library; the sidecar has its own")
    if not settings.health_check_enabled:
        logger.warning("canaries are off: every engine is declared ready, and nothing is proven")
    asyncio.run(_serve(sidecar))
    return 0


def port_of(text: str | None) -> int | None:
    """Read a port. Raises SettingsError."""
    if text is None:
        return None
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 65535:
        return int(text)
    raise SettingsError(
        f"--metrics-port: {excerpt(text, limit=40)!r} is not accepted; accepted: 1 to 65535"
    )


def sidecar_of(
    arguments: argparse.Namespace, settings: Settings, *, handle_signals: bool = True
) -> Sidecar:
    """Make the sidecar that the arguments ask for.

    Raises SettingsError for what cannot be read, MissingExtraError without the HTTP client.
    """
    # Only now, so that --help needs no extra.
    from serinus.sidecar.grouping import read_groups  # noqa: PLC0415
    from serinus.sidecar.sidecar import Sidecar  # noqa: PLC0415
    from serinus.sidecar.targets import read_targets  # noqa: PLC0415

    targets = read_targets(
        urls=arguments.url,
        named=arguments.target,
        engine=arguments.engine,
        metrics_port=port_of(arguments.metrics_port),
        namespace=settings.namespace,
    )
    groups = read_groups(getattr(arguments, "group", ()), targets, policy=settings.group_policy)
    return Sidecar(
        settings,
        targets,
        groups=groups,
        ca_file=arguments.ca_file,
        handle_signals=handle_signals,
    )


async def _serve(sidecar: Sidecar) -> None:
    async with sidecar:
        watched = ", ".join(f"{one.kind} at {one.place}" for one in sidecar.targets)
        print(f"serinus sidecar: watching {watched}; {where(sidecar)}", flush=True)
        await sidecar.stopped()


def where(sidecar: Sidecar) -> str:
    """Say where the answers are."""
    if sidecar.address is None:
        return "no status port (--port is negative)"
    return f"/health, /live and /metrics on {sidecar.address}"
