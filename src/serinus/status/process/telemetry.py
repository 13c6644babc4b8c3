"""The status process's own metrics: what it answered, whom it turned away, what it sees."""

from __future__ import annotations

OTHER = "other"
"""The `path` of all requests for paths that are not served, so that strangers add no series."""
EVICTIONS = ("limit", "header_timeout", "idle_timeout", "write_timeout", "fault")
"""Why a connection was closed that its client might have kept."""


class Telemetry:
    """Counts, and renders the counts as Prometheus text."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, int], list[int]] = {}
        self._evicted = dict.fromkeys(EVICTIONS, 0)

    def answers(self, path: str, code: int) -> list[int]:
        """Return the one-item list that counts answers with this code on this path."""
        return self._answers.setdefault((path, code), [0])

    def evicted(self, why: str) -> None:
        """Count a connection closed by us."""
        self._evicted[why] += 1

    def render(
        self,
        *,
        connections: int,
        states: list[tuple[str, bool]],
        loop_age: float | None,
        thread_age: float,
        document_ages: list[tuple[str, float]],
    ) -> bytes:
        """Render everything as Prometheus text (version 0.0.4)."""
        lines: list[str] = []
        _family(
            lines,
            "serinus_status_requests_total",
            "counter",
            "Requests answered by the status process.",
            [
                (f'{{path="{_escaped(path)}",code="{code}"}}', cell[0])
                for (path, code), cell in sorted(self._answers.items())
            ],
        )
        _family(
            lines,
            "serinus_status_connections",
            "gauge",
            "Connections open at the status port.",
            [("", connections)],
        )
        _family(
            lines,
            "serinus_status_evictions_total",
            "counter",
            "Connections closed by the status process before their client did.",
            [(f'{{reason="{why}"}}', count) for why, count in self._evicted.items()],
        )
        _family(
            lines,
            "serinus_status_worker_state",
            "gauge",
            "1 for the state that the worker's process is seen in.",
            [(f'{{state="{state}"}}', int(is_so)) for state, is_so in states],
        )
        ages = [('{heartbeat="thread"}', thread_age)]
        if loop_age is not None:
            ages.append(('{heartbeat="loop"}', loop_age))
        _family(
            lines,
            "serinus_status_heartbeat_age_seconds",
            "gauge",
            "Time since the worker's heartbeats.",
            ages,
        )
        _family(
            lines,
            "serinus_status_document_age_seconds",
            "gauge",
            "Time since the worker last brought each document.",
            [(f'{{document="{kind}"}}', age) for kind, age in document_ages],
        )
        return "".join(lines).encode()


def _family(
    lines: list[str], name: str, kind: str, meaning: str, samples: list[tuple[str, float]]
) -> None:
    lines.append(f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n")
    lines.extend(f"{name}{labels} {value}\n" for labels, value in samples)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
