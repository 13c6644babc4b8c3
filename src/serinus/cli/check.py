"""`serinus check`: a probe for where only a command can probe."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from serinus.cli.probe import Address, ProbeError, get
from serinus.errors import SettingsError, excerpt
from serinus.settings import Settings, load, status_token

__all__ = ["add_arguments", "run"]

PORT = 9090
"""Where a sidecar listens unless it is told otherwise."""
READY, NOT_READY, UNREACHABLE = 0, 1, 2
_CODES = {"ready": READY, "live": READY, "not ready": NOT_READY, "not live": NOT_READY}
EPILOG = f"""\
ADDRESS is PORT, HOST:PORT, http://HOST:PORT/PATH or unix:PATH. Without one, the port or socket of
the settings is asked (DYN_SYSTEM_PORT, SERINUS_STATUS_SOCKET), or port {PORT} of this machine.

examples:
  serinus check                     ready? with the reason, if not
  serinus check 9090 --live         would a restart not help?
  serinus check --verbose           who says so, who disagrees, and what we know of ourselves
  serinus check http://10.0.0.7:9090/health --json

exit codes: {READY} ready (with --live: live) · {NOT_READY} not, or degraded under --strict
            {UNREACHABLE} no answer, not that of a status port, or a wrong command line
"""

_SILENCED = {
    "process_stopped": "its process has been stopped (SIGSTOP, or a debugger)",
    "process_frozen": "its process has been frozen, or its GIL held,",
    "loop_blocked": "its event loop has been blocked",
    "worker_dead": "its process is gone",
}
"""What the status process sees of a worker that cannot speak for itself."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the address and the flags."""
    parser.usage = (
        "%(prog)s [ADDRESS] [--socket PATH] [--live] [--strict] [--json] [--verbose]"
        " [--timeout SECONDS]"
    )
    parser.description = (
        "Ask a status port (Serinus's, or Dynamo's) whether it is ready, print one line, and say"
        " it by the exit code."
    )
    parser.epilog = EPILOG
    parser.add_argument("address", nargs="?", metavar="ADDRESS", help="what to ask")
    parser.add_argument("--socket", metavar="PATH", help="a unix socket to ask instead")
    parser.add_argument("--live", action="store_true", help="ask whether it is live, not ready")
    parser.add_argument(
        "--strict", action="store_true", help="take degraded for not ready (exit code 1)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--verbose", action="store_true", help="print the word of every witness too"
    )
    parser.add_argument(
        "--timeout", metavar="SECONDS", default="3", help="for the whole answer (default: 3)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask, print, and return the exit code."""
    seconds = _seconds(arguments.timeout)
    settings = load().settings
    address = _address(arguments, settings)
    outcome = _ask(address, settings, live=arguments.live, seconds=seconds)
    if arguments.json:
        print(json.dumps({"address": str(address), **outcome._asdict()}))
    else:
        print(f"{outcome.result}: {address}{f': {outcome.why}' if outcome.why else ''}")
        if arguments.verbose:
            print(*_witnesses(outcome.body or {}), sep="\n")
    if outcome.degraded and arguments.strict:
        return NOT_READY
    return _CODES.get(outcome.result, UNREACHABLE)


class _Outcome(NamedTuple):
    """What asking came to."""

    result: str
    why: str
    status: int | None = None
    body: Mapping[str, Any] | None = None
    degraded: bool = False


def _ask(address: Address, settings: Settings, *, live: bool, seconds: float) -> _Outcome:
    try:
        reply = get(address, query="?verbose", bearer=status_token(settings), seconds=seconds)
    except ProbeError as error:
        return _Outcome("unreachable", str(error))
    body = _read(reply.body)
    if 200 <= reply.status < 300:
        if reply.degraded:
            return _Outcome("ready", _flaws(body), reply.status, body, degraded=True)
        why = "; ".join(filter(None, (_states(body), *_wrong(body))))
        return _Outcome("live" if live else "ready", why, reply.status, body)
    if reply.status >= 500:
        why = _why(body, live=live)
        return _Outcome("not live" if live else "not ready", why, reply.status, body)
    why = f"it answered HTTP {reply.status}, which is not that of a status port"
    return _Outcome("unreachable", why, reply.status, body)


def _address(arguments: argparse.Namespace, settings: Settings) -> Address:
    if arguments.address is not None and arguments.socket is not None:
        raise SettingsError("an address and --socket are both given; accepted: one of them")
    if arguments.socket is not None:
        address = Address(socket_path=arguments.socket)
    elif arguments.address is not None:
        address = Address.parse(arguments.address)
    elif settings.system_socket is not None:
        address = Address(socket_path=settings.system_socket)
    else:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.system_host, settings.system_host)
        address = Address(host, settings.system_port if settings.system_port > 0 else PORT)
    if address.path:
        return address
    path = settings.system_live_path if arguments.live else settings.system_health_path
    return replace(address, path=path)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 3600:
        raise SettingsError(f"--timeout: {excerpt(text, limit=40)!r}; accepted: seconds up to 3600")
    return seconds


def _read(body: bytes) -> Mapping[str, Any]:
    """Return the JSON object that a body is; an empty one for anything else."""
    try:
        parsed: Any = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _why(body: Mapping[str, Any], *, live: bool) -> str:
    """Say why not, as well as the answer can: in full with details, else by the states."""
    details = _object(body, "details")
    if silenced := _silenced(details):
        return silenced
    if live:
        return excerpt(_object(details, "liveness").get("why") or _plain(body), limit=300)
    readiness = _object(details, "readiness")
    if not readiness:
        return excerpt(_plain(body), limit=300)
    groups = _object(details, "groups")
    inside = {one.get("endpoint") for name in groups for one in _members(groups, name).values()}
    reasons = [
        f"{name}: {_object(groups, name).get('why')}"
        for name in groups
        if _object(groups, name).get("status") != "ready"
    ]
    reasons += [
        f"{name}: {one.get('reason')}, {_evidence(one)}"
        for name, one in _object(details, "endpoints").items()
        if isinstance(one, dict) and one.get("status") != "ready" and name not in inside
    ]
    return excerpt("; ".join(reasons[:3]) or readiness.get("why", ""), limit=300)


def _evidence(endpoint: Mapping[str, Any]) -> str:
    """What decided; of one that serves and is withheld by a policy, what is off."""
    if endpoint.get("reason") in ("degraded", "wrong"):
        flaws = _object(endpoint, "flaws")
        return "; ".join(f"{word} ({told})" for word, told in flaws.items()) or "by its policy"
    contact = _object(endpoint, "notes").get("contact")
    starting = endpoint.get("reason") in ("port_closed", "no_model", "unrecognised") and contact
    return f"{endpoint.get('evidence')}{f' ({contact})' if starting else ''}"


def _silenced(details: Mapping[str, Any]) -> str:
    """Say why the worker cannot speak for itself: what it said last is not what holds."""
    worker = _object(details, "worker")
    age, words = worker.get("loop_age"), _SILENCED.get(str(worker.get("reason")), "")
    return f"{words} for {age:.1f} s" if words and isinstance(age, int | float) else words


def _witnesses(body: Mapping[str, Any]) -> Iterator[str]:
    """Say of each endpoint who decided, who disagreed, and what everybody said."""
    details = _object(body, "details")
    if not details:
        yield "  no details: they are for peers on loopback, or for whoever brings the token"
    if silenced := _silenced(details):
        age = details.get("details_age")
        yield f"  worker: {silenced}; what follows is its last word, {age} s old"
    yield from _groups(details)
    endpoints = _object(details, "endpoints")
    for name in endpoints:
        one = _object(endpoints, name)
        status = "ready" if one.get("status") == "ready" else "not ready"
        yield f"  {name}: {status} ({one.get('reason')}): {one.get('verdict')}"
        if cost := _object(one, "cost"):
            yield f"    canaries: {_cost(cost)}"
        if answers := _object(one, "correctness"):
            yield f"    answers: {_answers(answers)}"
        witnesses = _object(one, "witnesses")
        for witness in witnesses:
            word = _object(witnesses, witness)
            said = (
                f"{word.get('says')}, {word.get('seconds_ago')} s ago, weight {word.get('weight')}"
            )
            yield f"    {witness}: {said}: {excerpt(word.get('word', ''), limit=120)}"
    yield from _leases(details)
    own = _object(details, "self")
    if own:
        told = [own.get("lost_at_once"), _last_trouble(own)]
        yield f"  self: {'; '.join(str(text) for text in told if text) or 'no trouble of our own'}"


def _last_trouble(own: Mapping[str, Any]) -> str:
    trouble, age = own.get("last_trouble"), own.get("last_trouble_seconds_ago")
    told = str(trouble) if trouble else ""
    return f"{told}, {age:.1f} s ago" if told and isinstance(age, int | float) else told


def _groups(details: Mapping[str, Any]) -> Iterator[str]:
    """Say of each group how many of its members are ready, and what of the others."""
    groups = _object(details, "groups")
    for name in groups:
        one = _object(groups, name)
        status = "ready" if one.get("status") == "ready" else "not ready"
        yield f"  {name}: {status} ({one.get('kind')}, {one.get('policy')}): {one.get('why')}"


def _members(groups: Mapping[str, Any], name: str) -> dict[str, Mapping[str, Any]]:
    members = _object(_object(groups, name), "members")
    return {member: _object(members, member) for member in members}


def _cost(cost: Mapping[str, Any]) -> str:
    """Say what canaries have cost, and what is left of a budget."""
    told = (
        f"{cost.get('canaries')} asked, {cost.get('tokens')} token(s), every {cost.get('wait')} s"
    )
    budgets = _object(cost, "budgets")
    for name in budgets:
        one = _object(budgets, name)
        told += f"; purse {one.get('left', 0):.0%} full, {one.get('a_day')} {name} a day"
    return f"{told}; the budget is used up" if cost.get("exhausted") else told


def _answers(known: Mapping[str, Any]) -> str:
    """Say whether answers to fixed prompts are right, and by what that is known."""
    told = f"{known.get('state')}, {known.get('tokens_compared')} token(s) compared"
    if known.get("told"):
        told = f"{told}: {excerpt(known['told'], limit=120)}"
    return f"{told}; policy {known.get('policy')}"


def _wrong(body: Mapping[str, Any]) -> Iterator[str]:
    """Say which endpoints give wrong answers, whatever becomes of them."""
    endpoints = _object(_object(body, "details"), "endpoints")
    for name in endpoints:
        known = _object(_object(endpoints, name), "correctness")
        if known.get("state") == "wrong":
            yield f"{name}: wrong output ({excerpt(known.get('told', ''), limit=120)})"


def _leases(details: Mapping[str, Any]) -> Iterator[str]:
    """Say which planned pauses run."""
    leases = details.get("leases")
    for one in leases if isinstance(leases, list) else ():
        if isinstance(one, dict):
            scope, left = one.get("endpoint") or "everything", one.get("left_seconds")
            yield f"  lease {one.get('why')}: {scope}, {left} s left, taken by {one.get('by')}"


def _flaws(body: Mapping[str, Any]) -> str:
    """Say what is off while it serves, in figures where details are shown."""
    details = _object(body, "details")
    flaws = [
        f"{name}: {word} ({told})"
        for name, one in {**_object(details, "endpoints"), **_object(details, "groups")}.items()
        if isinstance(one, dict)
        for word, told in _object(one, "flaws").items()
    ]
    return excerpt(f"degraded: {'; '.join(flaws[:3]) or _states(body)}", limit=300)


def _plain(body: Mapping[str, Any]) -> str:
    told = body.get("reason") or body.get("message") or _states(body) or body.get("status") or ""
    return str(told)


def _states(body: Mapping[str, Any]) -> str:
    """The endpoints and their states; the frontend of Dynamo has a list of them without any."""
    return ", ".join(f"{name} {state}" for name, state in _object(body, "endpoints").items())


def _object(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = holder.get(name)
    return value if isinstance(value, dict) else {}
