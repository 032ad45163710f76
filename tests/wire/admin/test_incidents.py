"""The state of an incident, in a word."""

import pytest

from appliance.wire.admin.incidents import Incident, state_of

OPEN = Incident(code="a", level="critical", message="m", since="s", next="n")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({}, "critical"),
        ({"acked_by": "ada"}, "acknowledged"),
        ({"acked_by": "ada", "ended": "t"}, "over"),
    ],
)
def test_the_state(change: dict[str, str], word: str) -> None:
    assert state_of(OPEN.model_copy(update=change)) == word
