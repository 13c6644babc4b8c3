"""Health inside an ASGI app (FastAPI, Starlette, vLLM's server): one line around it.

    app = serinus.asgi.HealthMiddleware(app)

Real answers become evidence, canaries are asked in the process, and the runtime lives as long as
the app. `QuietCanaries` leaves a sidecar's canaries out of the server's log. It needs the standard
library alone.
"""

from __future__ import annotations

from serinus.asgi.middleware import HealthMiddleware
from serinus.asgi.quiet import QuietCanaries, WithoutCanaries

__all__ = ["HealthMiddleware", "QuietCanaries", "WithoutCanaries"]
