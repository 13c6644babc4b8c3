"""The reference page of the settings, `docs/settings.md`, made from the table."""

from __future__ import annotations

from collections.abc import Iterator

from serinus.settings.files import REFERENCE
from serinus.settings.model import TABLE
from serinus.settings.table import Group, Setting

__all__ = ["page"]

HEAD = """\
# Settings

*This page is made by `serinus config docs`; a test checks that it is up to date.*

A setting may be given as a flag, as an environment variable, or as a key in a TOML file:

```toml
# serinus.toml, named by --config or SERINUS_CONFIG
system_port = 9090
health_check_enabled = true
canary_wait_time = "2s"
```

The first of these that has it decides:

1. a flag;
2. a variable; where several are listed, the first that is set;
3. the file named by `--config`, else by `SERINUS_CONFIG`;
4. the reference's own files, if they exist: {reference};
5. what a program takes by itself (its `--help` says so);
6. the default.

`serinus config show` says which of them it was, `serinus config check` finds every mistake at
once. A value that is not accepted stops the start with the variable, the value and what is
accepted; nothing ever starts half-configured.

Durations are seconds, with a fraction if you like, or with a unit: `500ms`, `2s`, `1m`, `1h`.
Words and truth values may be in any case. An empty variable is one that is not set. A setting
without a flag is a secret: a command line can be read by everyone on the machine.
"""

TAIL = """\
## Beside the settings

| Variable | Meaning |
|---|---|
| `SERINUS_CONFIG` | The path of a TOML file with settings. A key that is no setting is an error. |
| `DYN_SYSTEM_ENABLED` | Ignored with a warning, as there; `DYN_SYSTEM_PORT` opens a port. |
| `SGLANG_STARTUP_WAIT_INTERVAL`, `SGLANG_MAX_STARTUP_WAIT_TIME` | Ignored with a warning: \
an engine that starts is live and not ready, and how long it may be so is for the startup probe \
to say. |

A variable that begins with `DYN_SYSTEM_`, `DYN_HEALTH_CHECK_`, `DYN_CANARY_` or `SERINUS_` and is
not on this page brings a warning with the nearest name that is. Those that Kubernetes sets for a
Service of such a name are passed over.

## Where this differs from the reference

Every value that means something there means the same here. The differences:

| Setting | The reference (Dynamo 1.6.1) | Serinus |
|---|---|---|
| ports | up to 32767 | up to 65535 |
| booleans | only `true` and `false` | any usual spelling |
| durations | whole seconds | fractions and units |
| status words | lower case only | any case |
| `use_endpoint_health_status` | an array only | or names between commas |
| `canary_wait_time = 0` | accepted: about a thousand canaries a second | an error |
| `health_check_request_timeout = 0` | accepted: never ready | an error |
| `engine_health_*` that cannot be read | the default, with a warning | an error |
| a negative `engine_health_check_interval` | 0 | an error |
| a bad `health_check_payload` | the default, with a warning | an error, unless \
`lenient_payload` is set |
| a misspelt variable | silence | a warning with the nearest name |
| `failure_threshold` | one failure is enough | 2; set 1 for the reference's behaviour |
| `live_mode` | `/live` is `/health` | `serinus`; set `dynamo` for the reference's behaviour |
| `drain_timeout` from `DYN_RUNTIME_GRACEFUL_SHUTDOWN_TIMEOUT_SECS` | another limit, for \
frontends | read where `DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT` is not set |
"""


def page() -> str:
    """The page in Markdown, with a table for each group."""
    reference = ", then ".join(f"`{path}`" for path in REFERENCE)
    parts = [HEAD.format(reference=reference), *(_section(group) for group in Group), TAIL]
    return "\n".join(parts)


def _section(group: Group) -> str:
    rows = [row for row in TABLE.values() if row.group is group]
    lines = [
        f"## {group}",
        "",
        "| Setting | Variables | Flag | Default | Accepted | Meaning |",
        "|---|---|---|---|---|---|",
        *("| " + " | ".join(_cells(row)) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _cells(row: Setting) -> Iterator[str]:
    yield f"`{row.name}`"
    yield ", ".join(f"`{name}`" for name in row.variables)
    yield f"`{row.flag}`" if row.flag else "none: a secret"
    default = row.show(row.default)
    yield f"`{default}`" if default else "not set"
    yield row.kind.accepted
    yield row.meaning
