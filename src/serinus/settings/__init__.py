"""Settings: frozen, checked, and able to say where each came from.

`Settings` is what everything runs with; `load` settles it from flags, the environment and files;
`TABLE` has what is said about each; `status_token` and `api_key` read a secret where it is.
"""

from __future__ import annotations

from serinus.settings.loading import Loaded, load
from serinus.settings.model import TABLE, Settings
from serinus.settings.secret import api_key, status_token

__all__ = ["TABLE", "Loaded", "Settings", "api_key", "load", "status_token"]
