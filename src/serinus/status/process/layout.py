"""What the worker and its status process agree on: the control page's words, the documents' kinds.

The control page is 4 KiB of shared memory, read and written as aligned unsigned 64-bit words (a
word is stored in one move and cannot tear; `struct.pack_into` stores byte by byte and does tear).
Times in it are nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

PAGE_BYTES = 4096

# Written by the worker.
STARTED = 0
"""When the worker's status server was started."""
LOOP_BEAT = 1
"""When the worker's event loop last ran its heartbeat; 0: no loop is attached."""
THREAD_BEAT = 2
"""When the worker's own status thread last ran."""
LEASE_UNTIL = 3
"""Until when a blocked loop does not count against liveness; 0: no lease."""

# Written by the status process, in a cache line of its own.
CHILD_BEAT = 8
"""When the status process last went round its loop."""
ACKNOWLEDGED = 9
"""The sequence number of the last document that the status process took."""
WANT_DETAILS = 10
"""When the status process last asked for fresh details."""
WANT_METRICS = 11
"""When the status process last asked for fresh metrics."""

# Kinds of documents, in the order in which they are sent when several wait.
HEALTH = 0
"""Head `(ready, live, armed, reason as JSON, degraded)`, document: the endpoints' states as a JSON
object."""
DETAILS = 1
"""No head, document: a JSON object."""
METRICS = 2
"""No head, document: Prometheus text."""
CLOSE = 3
"""The worker closes its status port on purpose; no document."""

KINDS = ("health", "details", "metrics")

INLINE_BYTES = 8192
"""A larger document travels as a memory file beside its message, not in it."""
MESSAGE_BYTES = 2 * INLINE_BYTES
UP = b"up"
"""What the status process says once, when it is ready to answer."""
