"""The schema of a decision."""

import pytest
from pydantic import ValidationError

from appliance.wire.admin.state import Settle


@pytest.mark.parametrize(
    "wanted", [{}, {"reason": ""}, {"reason": "x" * 1_001}, {"reason": "x", "y": 1}]
)
def test_a_decision_has_a_reason_and_nothing_else(wanted: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settle.model_validate(wanted)
