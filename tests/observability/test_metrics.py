"""What Prometheus reads."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.observability.metrics import Metrics, buckets, total


def test_counters_gauges_and_labels_are_lines() -> None:
    metrics = Metrics()
    metrics.refusals.labels("invalid_api_key").inc()
    metrics.refusals.labels("invalid_api_key").inc(2)
    metrics.refusals.labels("other").inc()
    metrics.queued.labels('a "quoted"\nid\\').set(4)
    text = metrics.text()
    assert 'appliance_refusals_total{code="invalid_api_key"} 3.0' in text.splitlines()
    assert r'appliance_queued{model="a \"quoted\"\nid\\"} 4.0' in text.splitlines()
    assert "# TYPE appliance_refusals_total counter" in text
    assert total(metrics.refusals) == 4
    assert total(Metrics().refusals) == 0  # nothing is shared


def test_every_series_is_ours_and_nothing_is_said_of_the_process() -> None:
    metrics = Metrics()
    metrics.answers.labels("/healthz", "200").inc()
    metrics.ttft_seconds.labels("m").observe(0.2)
    found = list(text_string_to_metric_families(metrics.text()))
    assert found
    assert all(family.name.startswith("appliance_") for family in found)
    assert "_created" not in metrics.text()


def test_the_buckets_of_all_models_together() -> None:
    metrics = Metrics()
    for value, model in ((0.005, "a"), (0.006, "b"), (7.0, "a"), (61.0, "b")):
        metrics.ttft_seconds.labels(model).observe(value)
    bounds, counts = buckets(metrics.ttft_seconds)
    assert (bounds[:2], bounds[-1], len(counts)) == ([0.005, 0.01], 60.0, len(bounds) + 1)
    assert {n: count for n, count in enumerate(counts) if count} == {0: 1, 1: 1, 10: 1, 13: 1}
    lines = metrics.text().splitlines()
    assert 'appliance_ttft_seconds_bucket{le="10.0",model="a"} 2.0' in lines  # cumulative
    assert 'appliance_ttft_seconds_sum{model="b"} 61.006' in lines
    assert buckets(metrics.gap_seconds)[1] == [0] * len(counts)


def test_a_label_that_is_missing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="label"):
        Metrics().answers.labels("/healthz")
