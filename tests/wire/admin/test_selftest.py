"""The schemas of the self-test."""

import pytest
from pydantic import ValidationError

from appliance.wire.admin.selftest import SelfTestWanted


def test_everything_is_optional_and_bounded() -> None:
    assert SelfTestWanted().release == ""
    for bad in ({"release": "x" * 65}, {"unknown": 1}):
        with pytest.raises(ValidationError):
            SelfTestWanted.model_validate(bad)
