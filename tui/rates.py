"""Rates out of counters: what the charts of the overview draw.

Rules: pure; time is the server's monotonic clock; counters of another server start at 0 and never
make a negative rate; the history is bounded.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.wire.admin.usage import CurrentLoad, Histogram

POINTS = 240
_WINDOW_SECONDS = 60.0


@dataclass(frozen=True)
class RatePoint:
    """One moment.

    Attributes:
        tokens: written a second.
        kv, host_cpu, own_cpu, memory: shares from 0 to 1; own_cpu of all processors.
        ttft_p50, ttft_p95: seconds, over the last minute; None without an answer in it.
    """

    tokens: float = 0.0
    queued: int = 0
    running: int = 0
    kv: float = 0.0
    host_cpu: float = 0.0
    own_cpu: float = 0.0
    memory: float = 0.0
    ttft_p50: float | None = None
    ttft_p95: float | None = None


class History:
    """The newest points, and the loads that they were made of."""

    def __init__(self) -> None:
        self._loads: deque[CurrentLoad] = deque(maxlen=POINTS)
        self._points: deque[RatePoint] = deque(maxlen=POINTS)

    @property
    def points(self) -> Sequence[RatePoint]:
        return self._points

    @property
    def newest(self) -> RatePoint | None:
        """The point of the last load but the first."""
        return self._points[-1] if self._points else None

    @property
    def load(self) -> CurrentLoad | None:
        return self._loads[-1] if self._loads else None

    def add(self, load: CurrentLoad) -> None:
        """Nothing where the load is no newer than the last."""
        last = self.load
        if last is not None and last.server != load.server:
            self._loads.clear()
        elif last is not None:
            if load.at <= last.at:
                return
            self._points.append(self._point(last, load))
        self._loads.append(load)

    def _point(self, before: CurrentLoad, after: CurrentLoad) -> RatePoint:
        spent = after.at - before.at
        host = _grown(before.host_total, after.host_total)
        window = next(
            load for load in self._loads if after.at - load.at <= _WINDOW_SECONDS or load is before
        )
        grown = histogram_since(window.ttft, after.ttft)
        return RatePoint(
            tokens=_grown(before.completion_tokens, after.completion_tokens) / spent,
            queued=after.queued,
            running=after.running,
            kv=_share(after.kv_used, after.kv_total),
            host_cpu=_share(_grown(before.host_busy, after.host_busy), host),
            own_cpu=_share(_grown(before.own_cpu, after.own_cpu), host),
            memory=_share(after.memory - after.memory_available, after.memory),
            ttft_p50=quantile(grown, 0.50),
            ttft_p95=quantile(grown, 0.95),
        )


def histogram_since(before: Histogram, after: Histogram) -> Histogram:
    """Observations in between."""
    if before.bounds != after.bounds or len(before.counts) != len(after.counts):
        return after
    counts = [max(0, new - old) for old, new in zip(before.counts, after.counts, strict=True)]
    return Histogram(bounds=after.bounds, counts=counts)


def quantile(histogram: Histogram, share: float) -> float | None:
    """A quantile in seconds, straight lines inside a bucket; None without an observation.

    Source: `histogram_quantile` of Prometheus.
    """
    total = sum(histogram.counts)
    if not total or not histogram.bounds:
        return None
    wanted, seen, low = share * total, 0, 0.0
    for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
        if count and seen + count >= wanted:
            return low + (bound - low) * (wanted - seen) / count
        seen, low = seen + count, bound
    return histogram.bounds[-1]


def _grown(before: float, after: float) -> float:
    return max(0.0, after - before)


def _share(part: float, whole: float) -> float:
    return max(0.0, min(1.0, part / whole)) if whole > 0 else 0.0
