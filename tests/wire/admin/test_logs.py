"""The schemas of log lines."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.logs import LEVELS, LogQuery


@pytest.mark.parametrize(
    "asked", [{"level": "loud"}, {"limit": 0}, {"limit": 1_001}, {"text": "x" * 201}, {"no": 1}]
)
def test_a_query_is_bounded(asked: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        LogQuery.of(**asked)


def test_every_level_can_be_asked_for() -> None:
    assert [LogQuery.of(level=level).level for level in LEVELS] == list(LEVELS)
