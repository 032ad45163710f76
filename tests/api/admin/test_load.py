"""The counters that screens make rates of."""

from appliance.app import Services
from appliance.client import AdminClient
from appliance.wire.admin.usage import LOAD


def test_counters_are_sums_over_all_models(services: Services, client: AdminClient) -> None:
    found = services.metrics
    for model, tokens in (("a", 3), ("b", 4)):
        found.completion_tokens.labels(model).inc(tokens)
        found.ttft_seconds.labels(model).observe(0.02)
    found.refusals.labels("invalid_api_key").inc()
    load = client.call(LOAD)
    assert (load.completion_tokens, load.refusals, load.running) == (7, 1, 0)
    assert sum(load.ttft.counts) == 2 and len(load.ttft.counts) == len(load.ttft.bounds) + 1
    assert load.own_memory > 0 and 0 < load.host_busy < load.host_total
    again = client.call(LOAD)
    assert again.server == load.server and again.at > load.at
