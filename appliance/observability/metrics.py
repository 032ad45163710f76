"""Counters and histograms, and their text for Prometheus.

Rules: labels are models, routes, statuses and codes, never keys, texts or addresses, so that the
number of series is bounded and a scrape tells nothing about one app. Everything is made and used
on the event loop.

Source: Prometheus text exposition format 0.0.4. A library was not taken: the one there is keeps a
process-wide registry and locks, for what are eighty lines here.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Counter:
    """A number per label set that only grows."""

    kind = "counter"

    def __init__(self, name: str, doc: str, *labels: str) -> None:
        self.name, self.doc, self._labels = name, doc, labels
        self._values: dict[tuple[str, ...], float] = {}

    def add(self, *labels: str, by: float = 1) -> None:
        """Grow."""
        self._values[labels] = self._values.get(labels, 0) + by

    def value(self, *labels: str) -> float:
        """The number of one label set."""
        return self._values.get(labels, 0)

    def total(self) -> float:
        """The sum over all label sets."""
        return sum(self._values.values())

    def samples(self) -> Iterator[str]:
        """Its lines."""
        for labels, value in self._values.items():
            yield _line(self.name, zip(self._labels, labels, strict=True), value)


class Gauge(Counter):
    """A number per label set that is set when it is asked for."""

    kind = "gauge"

    def set(self, value: float, *labels: str) -> None:
        """Say what it is now."""
        self._values[labels] = value


class Histogram:
    """How many observations were at most so long, per label set."""

    kind = "histogram"

    def __init__(
        self, name: str, doc: str, *labels: str, bounds: Sequence[float] = SECONDS
    ) -> None:
        self.name, self.doc, self._labels, self._bounds = name, doc, labels, tuple(bounds)
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Count one observation."""
        counts = self._counts.setdefault(labels, [0] * (len(self._bounds) + 1))
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[labels] = self._sums.get(labels, 0.0) + value

    def totals(self) -> tuple[list[float], list[int]]:
        """The bounds, and over all label sets how many observations each bucket has."""
        none = [0] * (len(self._bounds) + 1)
        counts = [sum(column) for column in zip(none, *self._counts.values(), strict=True)]
        return list(self._bounds), counts

    def samples(self) -> Iterator[str]:
        """Its lines: cumulative buckets, sum and count."""
        for labels, counts in self._counts.items():
            named = list(zip(self._labels, labels, strict=True))
            total = 0
            for bound, count in zip((*map(str, self._bounds), "+Inf"), counts, strict=True):
                total += count
                yield _line(f"{self.name}_bucket", [*named, ("le", bound)], total)
            yield _line(f"{self.name}_sum", named, self._sums[labels])
            yield _line(f"{self.name}_count", named, total)


class Metrics:
    """What the appliance counts."""

    def __init__(self) -> None:
        self.answers = Counter("appliance_answers_total", "HTTP answers.", "route", "status")
        self.refusals = Counter("appliance_refusals_total", "Answers that are errors.", "code")
        self.generations = Counter(
            "appliance_generations_total", "Ended answers.", "model", "status"
        )
        self.prompt_tokens = Counter("appliance_prompt_tokens_total", "Tokens read.", "model")
        self.cached_tokens = Counter(
            "appliance_cached_tokens_total", "Prompt tokens that were not computed again.", "model"
        )
        self.completion_tokens = Counter(
            "appliance_completion_tokens_total", "Tokens written.", "model"
        )
        self.queue_seconds = Histogram("appliance_queue_seconds", "Wait for the turn.", "model")
        self.ttft_seconds = Histogram(
            "appliance_ttft_seconds",
            "From the recorded intent to the first text, the queue included.",
            "model",
        )
        self.gap_seconds = Histogram("appliance_token_gap_seconds", "Between two pieces.", "model")
        self.audit_seconds = Histogram(
            "appliance_audit_seconds", "Until an entry is durable: the lag of the log.", "kind"
        )
        self.queued = Gauge("appliance_queued", "Requests that wait for their turn.", "model")
        self.running = Gauge("appliance_running", "Requests that the engine runs.", "model")
        self.kv_cells = Gauge("appliance_kv_cells_used", "Cells of the KV cache in use.", "model")
        self.restarts = Gauge(
            "appliance_worker_restarts", "Times the engine was started again.", "model"
        )
        self.latched = Gauge("appliance_audit_latched", "1 while the log cannot be written.")
        self.entries = Gauge("appliance_audit_entries", "Durable entries of the log.")
        self.connections = Gauge("appliance_connections", "Open connections of the LAN listener.")

    def text(self) -> str:
        """All of it, as Prometheus reads it."""
        lines: list[str] = []
        for metric in vars(self).values():
            lines.append(f"# HELP {metric.name} {metric.doc}")
            lines.append(f"# TYPE {metric.name} {metric.kind}")
            lines += metric.samples()
        return "\n".join(lines) + "\n"


def _line(name: str, labels: Iterable[tuple[str, str]], value: float) -> str:
    shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
    return f"{name}{{{shown}}} {value:g}" if shown else f"{name} {value:g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
