"""Schemas of names refuse what they do not know."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.pointers import PointerUpload


def test_requests_are_checked() -> None:
    assert PointerUpload.of(envelope="{}").envelope == "{}"
    for wrong in ({"envelope": "x" * ((64 << 10) + 1)}, {"envelope": "{}", "more": 1}, {}):
        with pytest.raises(BadRequest):
            PointerUpload.of(**wrong)
