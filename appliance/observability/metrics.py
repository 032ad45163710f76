"""Counters, gauges and histograms of one appliance, and their text for Prometheus.

Rules: labels are models, routes, statuses and codes, never keys, texts or addresses, so that the
number of series is bounded and a scrape shows nothing of one app. Each `Metrics` has a registry of
its own.

Source: Prometheus text exposition format 0.0.4, as prometheus-client writes it.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4


class _Registry(CollectorRegistry):
    """Leaves out the time of each series' beginning, which would double the text."""

    def collect(self) -> Iterator[Metric]:
        for metric in super().collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric


class Metrics:
    """Counters of the appliance."""

    def __init__(self) -> None:
        self.registry = _Registry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        seconds = partial(Histogram, registry=self.registry, buckets=SECONDS)
        self.answers = counter("appliance_answers_total", "HTTP answers.", ["route", "status"])
        self.refusals = counter("appliance_refusals_total", "Answers that are errors.", ["code"])
        self.unexpected = counter(
            "appliance_unexpected_errors_total", "Errors that nobody expected."
        )
        self.generations = counter(
            "appliance_generations_total", "Ended answers.", ["model", "status"]
        )
        self.prompt_tokens = counter("appliance_prompt_tokens_total", "Tokens read.", ["model"])
        self.cached_tokens = counter(
            "appliance_cached_tokens_total",
            "Prompt tokens that were not computed again.",
            ["model"],
        )
        self.completion_tokens = counter(
            "appliance_completion_tokens_total", "Tokens written.", ["model"]
        )
        self.queue_seconds = seconds("appliance_queue_seconds", "Wait for the turn.", ["model"])
        self.ttft_seconds = seconds(
            "appliance_ttft_seconds",
            "From the recorded intent to the first text, the queue included.",
            ["model"],
        )
        self.gap_seconds = seconds("appliance_token_gap_seconds", "Between two pieces.", ["model"])
        self.audit_seconds = seconds(
            "appliance_audit_seconds", "Until an entry is durable: the lag of the log.", ["kind"]
        )
        self.queued = gauge("appliance_queued", "Requests that wait for their turn.", ["model"])
        self.running = gauge("appliance_running", "Requests that the engine runs.", ["model"])
        self.kv_cells = gauge("appliance_kv_cells_used", "Cells of the KV cache in use.", ["model"])
        self.restarts = counter(
            "appliance_worker_restarts_total",
            "Times the engine was started again, over all runs of the server.",
            ["model"],
        )
        self.latched = gauge("appliance_audit_latched", "1 while the log cannot be written.")
        self.entries = gauge("appliance_audit_entries", "Durable entries of the log.")
        self.info = gauge(
            "appliance_info", "Always 1; what runs here.", ["version", "profile", "engine"]
        )
        self.state = gauge("appliance_state", "1 for the state that holds.", ["state"])
        self.alarms = gauge(
            "appliance_alarms",
            "Alarms that hold, by their code; docs/operator-guide.md has the table.",
            ["code", "level"],
        )
        self.disk_free = gauge(
            "appliance_disk_free_bytes", "Free space of the file system of the data directory."
        )
        self.disk_total = gauge("appliance_disk_bytes", "Size of that file system.")
        self.certificate_ends = gauge(
            "appliance_certificate_end_timestamp_seconds",
            "When the server's certificate ends, in seconds since 1970; absent without TLS.",
            ["use"],
        )
        self.behind = gauge(
            "appliance_forward_behind_entries",
            "Entries that a receiver may not have.",
            ["receiver"],
        )
        self.unwitnessed = gauge(
            "appliance_audit_unwitnessed", "Entries after the last head that a witness cosigned."
        )
        self.jobs = gauge("appliance_jobs", "Jobs that are listed, by state.", ["state"])
        self.upstream_hosts = gauge(
            "appliance_upstream_hosts", "Hosts of upstreams, by state.", ["upstream", "state"]
        )
        self.upstream_hops = counter(
            "appliance_upstream_hops_total",
            "Requests to hosts of upstreams that ended, by the state of the host when it was asked,"
            " and by `answered`, `cancelled` or the code of the error.",
            ["upstream", "state", "result"],
        )
        self.replays = counter(
            "appliance_replays_total",
            "Recorded answers that were computed again: same, differs or cannot.",
            ["verdict"],
        )
        self.backup = gauge(
            "appliance_backup_timestamp_seconds",
            "When the newest backup was made, in seconds since 1970; 0 where none is known.",
        )
        self.connections = gauge("appliance_connections", "Open connections of the LAN listener.")

    def text(self) -> str:
        return generate_latest(self.registry).decode()


def total(counter: Counter) -> int:
    """The sum over all label sets."""
    samples = (sample for metric in counter.collect() for sample in metric.samples)
    return int(sum(sample.value for sample in samples if sample.name.endswith("_total")))


def buckets(histogram: Histogram) -> tuple[list[float], list[int]]:
    """The bounds, and the observations of each bucket over all label sets.

    The last bucket, without a bound, is that of longer ones.
    """
    upto: dict[float, int] = dict.fromkeys((*SECONDS, float("inf")), 0)
    for metric in histogram.collect():
        for sample in metric.samples:
            if sample.name.endswith("_bucket"):
                upto[float(sample.labels["le"])] += int(sample.value)
    below = [0, *upto.values()]
    counts = [most - least for least, most in zip(below, upto.values(), strict=False)]
    return list(SECONDS), counts
