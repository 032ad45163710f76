"""Schemas of upstreams refuse what they do not know."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.upstreams import UpstreamApproval, UpstreamDrain


def test_requests_are_checked() -> None:
    assert UpstreamDrain.of(url="https://gpu-1", drained=True).drained
    for wrong in ({"url": "x" * 301, "envelope": "{}"}, {"url": "u"}, {"url": "u", "envelope": 3}):
        with pytest.raises(BadRequest):
            UpstreamApproval.of(**wrong)
    with pytest.raises(BadRequest):
        UpstreamDrain.of(url="u", drained=True, more=1)
