"""Variables that look as if they were ours and are not: most often a name spelt wrongly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from serinus.settings.wording import nearest, unknown

if TYPE_CHECKING:
    from serinus.settings.table import Setting

__all__ = ["CONFIG_VARIABLE", "ENABLED_VARIABLE", "STARTUP_VARIABLES", "strange_variables"]

CONFIG_VARIABLE = "SERINUS_CONFIG"
ENABLED_VARIABLE = "DYN_SYSTEM_ENABLED"
STARTUP_VARIABLES = ("SGLANG_STARTUP_WAIT_INTERVAL", "SGLANG_MAX_STARTUP_WAIT_TIME")
"""How often and how long a monitor of the reference's waits for SGLang to be up. None of ours gives
up: an engine that starts is live and not ready for as long as the startup probe has patience."""
PREFIXES = ("DYN_SYSTEM_", "DYN_HEALTH_CHECK_", "DYN_CANARY_", "SERINUS_")


def strange_variables(environ: Mapping[str, str], table: Mapping[str, Setting]) -> Iterator[str]:
    """A warning for each variable with a prefix of ours and a name that nothing reads."""
    known = {name for row in table.values() for name in row.variables}
    known |= {CONFIG_VARIABLE, ENABLED_VARIABLE}
    strange = [name for name in environ if name.startswith(PREFIXES) and name not in known]
    if not strange:
        return
    by_stem = {_stem(name): name for name in known if not name.startswith("DYN_RUNTIME_")}
    for name in sorted(strange):
        if not _of_a_service(name, environ):
            guess = nearest(_stem(name), by_stem)
            yield unknown(name, by_stem[guess] if guess else None)


def _stem(name: str) -> str:
    """The name without the prefix that says whose it is: that all share it makes none nearer.

    >>> _stem("DYN_CANARY_WAIT_TIME"), _stem("SERINUS_MODEL")
    ('CANARY_WAIT_TIME', 'MODEL')
    """
    return name.partition("_")[2]


def _of_a_service(name: str, environ: Mapping[str, str]) -> bool:
    """Whether Kubernetes set it for a Service whose name begins like a prefix of ours.

    Each Service brings `<NAME>_SERVICE_HOST`, `<NAME>_SERVICE_PORT` and `<NAME>_PORT…`.
    """
    head, mark, _ = name.partition("_SERVICE_PORT")
    if not mark:
        head, mark, _ = name.partition("_SERVICE_HOST")
    if not mark:
        head, mark, _ = name.partition("_PORT")
    return bool(mark) and f"{head}_SERVICE_HOST" in environ
