"""Schemas of keys."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.keys import KeyCreate, KeyLimits, KeyRotate


@pytest.mark.parametrize(
    "fields",
    [{"rpm": 0}, {"tpm": -1}, {"concurrency": 0}, {"weight": 0}, {"weight": 1001},
     {"priority": "urgent"}, {"rpm": 10**10}, {"rmp": 1}],
)  # fmt: skip
def test_limits_that_mean_nothing_are_refused_and_named(fields: dict[str, object]) -> None:
    with pytest.raises(BadRequest) as caught:
        KeyLimits.of(**fields)
    assert caught.value.param in fields


def test_a_key_has_a_name_and_an_overlap_an_end() -> None:
    assert KeyCreate.of(name="app").weight == 1
    with pytest.raises(BadRequest):
        KeyCreate.of(name="app", certificate="zz")
    with pytest.raises(BadRequest):
        KeyRotate.of(overlap=-1)
