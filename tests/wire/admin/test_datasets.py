"""Schemas of the dataset routes: allowed requests."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.datasets import Capture


def test_masked_by_day_unless_asked_otherwise() -> None:
    wanted = Capture.of(key_id="k")
    assert (wanted.mask, wanted.group) == (True, "day")


@pytest.mark.parametrize(
    "fields", [{}, {"key_id": ""}, {"key_id": "k", "group": "item"}, {"key_id": "k", "limit": 0}]
)
def test_what_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        Capture.of(**fields)
