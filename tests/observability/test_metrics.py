"""What Prometheus reads."""

from appliance.observability.metrics import Histogram, Metrics


def test_counters_gauges_and_labels_are_lines() -> None:
    metrics = Metrics()
    metrics.refusals.add("invalid_api_key")
    metrics.refusals.add("invalid_api_key", by=2)
    metrics.queued.set(4, 'a "quoted"\nid\\')
    text = metrics.text()
    assert 'appliance_refusals_total{code="invalid_api_key"} 3' in text.splitlines()
    assert r'appliance_queued{model="a \"quoted\"\nid\\"} 4' in text.splitlines()
    assert "# TYPE appliance_refusals_total counter" in text
    assert metrics.refusals.value("invalid_api_key") == 3
    assert Metrics().refusals.value("invalid_api_key") == 0  # nothing is shared


def test_a_histogram_is_cumulative_and_its_bounds_are_inclusive() -> None:
    histogram = Histogram("h", "", "m", bounds=(1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value, "x")
    assert list(histogram.samples()) == [
        'h_bucket{m="x",le="1.0"} 2',
        'h_bucket{m="x",le="2.0"} 3',
        'h_bucket{m="x",le="+Inf"} 4',
        'h_sum{m="x"} 12',
        'h_count{m="x"} 4',
    ]
