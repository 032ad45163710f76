"""Schemas of the advisor."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.advice import AdviceWanted


@pytest.mark.parametrize("wrong", [{"task": "../x"}, {"task": ""}, {"answers": []}, {"other": 1}])
def test_what_asks_for_no_advice_is_refused(wrong: dict[str, object]) -> None:
    assert AdviceWanted.of().task is None
    with pytest.raises(BadRequest):
        AdviceWanted.of(**wrong)
