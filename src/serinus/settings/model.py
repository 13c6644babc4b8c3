"""`Settings`: the declaration, checked. One that exists is one that can be run with."""

from __future__ import annotations

from serinus.errors import SettingsError
from serinus.settings.conflicts import conflicts
from serinus.settings.declaration import Declaration
from serinus.settings.kinds import RefusedError
from serinus.settings.table import rows_of
from serinus.settings.wording import refused, together

__all__ = ["TABLE", "Settings"]

TABLE = rows_of(Declaration)
"""The row of every setting, by the name of its field."""


class Settings(Declaration):
    """What a worker, a sidecar or a status process runs with. All durations are seconds.

    Raises SettingsError that lists every value that is not accepted and every two that clash.

    >>> Settings(canary_wait_time=2).canary_wait_time
    2.0
    >>> Settings(system_port=70000)
    Traceback (most recent call last):
    ...
    serinus.errors.SettingsError: system_port: 70000 is not accepted; accepted: a whole number up \
to 65535: 0 = a free port, negative = off
    """

    __slots__ = ()

    def __post_init__(self) -> None:
        problems = []
        for name, row in TABLE.items():
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, row.kind.take(value))
            except RefusedError as error:
                problems.append(refused(row, name, value, hint=str(error)))
        if not problems:
            problems = [clash.said() for clash in conflicts(self)]
        if problems:
            raise SettingsError(together(problems))
