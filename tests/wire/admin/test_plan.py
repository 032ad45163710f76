"""The schemas of a plan."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.plan import PlanRequest


@pytest.mark.parametrize(
    "asked", [{"path": ""}, {"path": "x" * 5_000}, {"path": "/a", "id": "x" * 130}]
)
def test_a_request_is_bounded(asked: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        PlanRequest.of(**asked)
