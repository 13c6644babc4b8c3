"""What every canary payload is: a default by class, the owner's override, and the marker.

A payload says what to ask. When it is asked, and what an answer means, are decided elsewhere.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from serinus.core.marker import HEALTH_CHECK_KEY
from serinus.errors import SettingsError, excerpt
from serinus.payloads.override import LENIENT_VARIABLE, PAYLOAD_VARIABLE, load_override

if TYPE_CHECKING:
    from serinus.settings import Settings

__all__ = ["HealthCheckPayload"]


class HealthCheckPayload:
    """The minimal request that proves an endpoint. Subclass it and set `default_payload`.

    Set it in the class, or in `__init__` before or after `super().__init__()`:

    >>> class Mine(HealthCheckPayload):
    ...     def __init__(self):
    ...         self.default_payload = {"prompt": "ping", "max_tokens": 1}
    ...         super().__init__(environ={})
    >>> Mine().to_dict()
    {'prompt': 'ping', 'max_tokens': 1, '_HEALTH_CHECK': True}

    DYN_HEALTH_CHECK_PAYLOAD takes the default's place. It is read at construction, so that a bad
    one raises SettingsError there, before a worker serves. `environ` stands in for the process
    environment.
    """

    default_payload: Mapping[str, Any]
    empty_override_wins: ClassVar[bool] = False
    """Whether an override of `{}` is sent as it is; else it means the default."""

    _override: dict[str, Any] | None = None

    def __init__(self, *, environ: Mapping[str, str] | None = None) -> None:
        self._override = self._settled(load_override(environ))

    def to_dict(self) -> dict[str, Any]:
        """Return the payload as a fresh dict, marked as a canary; changing it changes no other.

        Raises SettingsError where the class set no default and the owner no override.
        """
        return self._marked(self._override)

    def under(self, settings: Settings) -> dict[str, Any]:
        """Return the payload as `to_dict`, with the override that the settings hold, if any.

        Theirs may come from a flag or a file, which the variable alone does not know.
        """
        if settings.health_check_payload is None:
            return self.to_dict()
        said = {
            PAYLOAD_VARIABLE: settings.health_check_payload,
            LENIENT_VARIABLE: str(settings.lenient_payload),
        }
        return self._marked(self._settled(load_override(said)))

    def _settled(self, override: dict[str, Any] | None) -> dict[str, Any] | None:
        return override if override or self.empty_override_wins else None

    def _marked(self, override: dict[str, Any] | None) -> dict[str, Any]:
        chosen = self._default() if override is None else override
        payload = copy.deepcopy(dict(chosen))
        payload[HEALTH_CHECK_KEY] = True
        return payload

    def _default(self) -> Mapping[str, Any]:
        default: object = getattr(self, "default_payload", None)
        if not isinstance(default, Mapping):
            raise SettingsError(
                f"{type(self).__name__}.default_payload: {excerpt(repr(default), limit=80)} is not "
                "a payload; accepted: a dict, set in the class or in __init__"
            )
        return default
