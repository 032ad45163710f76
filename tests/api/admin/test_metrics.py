"""`/metrics` on the admin socket."""

import httpx

from appliance.api.admin.private import serve_privately
from appliance.app import Services


def test_prometheus_reads_it_on_the_admin_socket(services: Services) -> None:
    services.metrics.refusals.labels("invalid_api_key").inc()
    with serve_privately(services) as path:
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport, base_url="http://appliance") as client:
            answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert 'appliance_refusals_total{code="invalid_api_key"} 1.0' in lines
    assert "appliance_audit_latched 0.0" in lines
    assert f"appliance_audit_entries {services.audit.size}.0" in lines
