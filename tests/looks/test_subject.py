"""What every look works on; what is wrong with specifications is in the tests of both judges."""

import pytest

from appliance.errors import PolicyRefused
from appliance.looks.subject import envelope_of


def test_parameters_are_a_specification() -> None:
    assert envelope_of({"specification": "{}"}) == b"{}"
    for params in ({}, {"specification": 1}, {"specification": "\ud800"}, {"more": ""}):
        with pytest.raises(PolicyRefused) as caught:
            envelope_of(params)
        assert caught.value.code == "specification_invalid"
