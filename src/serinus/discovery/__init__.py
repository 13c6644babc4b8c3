"""Discovery: workers announce themselves, others see them, a name is held by one alone.

One port (`port.py`), one file a backend, and everything that has to be done about a backend's
troubles in one place (`connection.py`).
"""

from __future__ import annotations

from serinus.discovery.connection import Discovery
from serinus.discovery.leadership import Leadership
from serinus.discovery.mirror import Mirror
from serinus.discovery.port import Backend, Change, Listing, Session

__all__ = ["Backend", "Change", "Discovery", "Leadership", "Listing", "Mirror", "Session"]
