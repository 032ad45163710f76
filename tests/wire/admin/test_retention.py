"""The schemas of segments and prunes."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.retention import Prune, PruneSubject, SegmentList


def test_a_request_refuses_and_replies_allow_what_is_new() -> None:
    assert Prune.model_config["extra"] == "forbid"
    for reply in (PruneSubject, SegmentList):
        assert reply.model_config["extra"] == "ignore"


@pytest.mark.parametrize(
    "wrong",
    [{"before": 0}, {"reason": ""}, {"exported_root": "x"}, {"exported_first": -1}, {"more": 1}],
)
def test_a_prune_is_bounded(wrong: dict[str, object]) -> None:
    good: dict[str, object] = {"before": 1, "reason": "old", "exported_root": "ab" * 32}
    assert Prune.of(**good).exported_first == 0
    with pytest.raises(BadRequest):
        Prune.of(**{**good, **wrong})
