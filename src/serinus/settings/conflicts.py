"""Values that are each accepted and do not go together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from serinus.settings.declaration import Declaration

__all__ = ["FRONTEND_PATHS", "METRICS_PATH", "MODELS_PATH", "Conflict", "conflicts"]

METRICS_PATH = "/metrics"
MODELS_PATH = "/v1/models"
FRONTEND_PATHS = frozenset({METRICS_PATH, MODELS_PATH, "/events", "/capacity", "/dashboard"})
"""Where a frontend answers something else."""
LEAST_BUDGET = 100
"""As `core.budget.LEAST`, which settings must not import the judge for."""


class Conflict(NamedTuple):
    """Two settings that clash; `text` has `{0}`, `{1}` where their names go."""

    fields: tuple[str, ...]
    text: str

    def said(self, called: Callable[[str], str] = str) -> str:
        """The sentence, with each field called what the reader wrote: a variable, a flag."""
        return self.text.format(*(called(field) for field in self.fields))


def conflicts(settings: Declaration) -> Iterator[Conflict]:
    """Every two values that do not go together."""
    yield from _paths(settings)
    yield from _frontend(settings)
    yield from _secrets(settings)
    if settings.system_socket is not None and settings.system_port >= 0:
        yield Conflict(
            ("system_socket", "system_port"),
            "{0} and {1} are both set; accepted: a unix socket or a port, not both",
        )
    for field in ("canary_budget", "canary_token_budget"):
        if 0 < getattr(settings, field) < LEAST_BUDGET:
            yield Conflict(
                (field,),
                f"{{0}} is {getattr(settings, field)}; accepted: 0 (no bound), or at least"
                f" {LEAST_BUDGET} a day, as an endpoint must be asked now and then",
            )
    if settings.correctness_prompts is not None and settings.correctness_reference is not None:
        yield Conflict(
            ("correctness_prompts", "correctness_reference"),
            "{0} and {1} are both set; accepted: one of them, as a reference has its own prompts",
        )
    if settings.loop_budget < settings.loop_stall:
        yield Conflict(
            ("loop_budget", "loop_stall"),
            f"{{0}} ({settings.loop_budget:g} s) is less than {{1}} ({settings.loop_stall:g} s);"
            " accepted: at least as long, as not live comes after not ready",
        )


def _paths(settings: Declaration) -> Iterator[Conflict]:
    health, live = settings.system_health_path, settings.system_live_path
    if health == live:
        yield Conflict(
            ("system_health_path", "system_live_path"),
            f"{{0}} and {{1}} are both {_literal(health)}; accepted: two different paths",
        )
    for field, path in (("system_health_path", health), ("system_live_path", live)):
        if path == METRICS_PATH:
            yield Conflict((field,), f"{{0}} is {path}, where the metrics are; accepted: another")


def _frontend(settings: Declaration) -> Iterator[Conflict]:
    health, live = settings.http_health_path, settings.http_live_path
    if health == live:
        yield Conflict(
            ("http_health_path", "http_live_path"),
            f"{{0}} and {{1}} are both {_literal(health)}; accepted: two different paths",
        )
    for field in ("http_health_path", "http_live_path"):
        path = getattr(settings, field)
        if path in FRONTEND_PATHS or path.startswith(f"{MODELS_PATH}/"):
            yield Conflict(
                (field,), f"{{0}} is {_literal(path)}, where something else is; accepted: another"
            )
    if settings.fleet_minimum_share < settings.fleet_panic_threshold:
        yield Conflict(
            ("fleet_minimum_share", "fleet_panic_threshold"),
            f"{{0}} ({settings.fleet_minimum_share:g}) is less than {{1}}"
            f" ({settings.fleet_panic_threshold:g}); accepted: at least as much, as an endpoint is"
            " short before it is in panic",
        )


def _secrets(settings: Declaration) -> Iterator[Conflict]:
    both = "{0} and {1} are both set; accepted: one of them"
    token = settings.status_token is not None
    if token and settings.status_token_file is not None:
        yield Conflict(("status_token", "status_token_file"), both)
    if settings.api_key is not None and settings.api_key_file is not None:
        yield Conflict(("api_key", "api_key_file"), both)
    if settings.status_details == "token" and not token and settings.status_token_file is None:
        yield Conflict(
            ("status_details", "status_token", "status_token_file"),
            "{0} is token, and there is none; accepted: set {1} or {2}",
        )


def _literal(text: str) -> str:
    """The text with braces doubled, for str.format."""
    return text.replace("{", "{{").replace("}", "}}")
