"""Schemas of drift."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.drift import Restart


@pytest.mark.parametrize("wrong", [{}, {"reason": ""}, {"reason": "x" * 501}])
def test_no_watch_begins_again_without_a_reason(wrong: dict[str, object]) -> None:
    assert Restart.of(reason="new items are measured").reason
    with pytest.raises(BadRequest):
        Restart.of(**wrong)
