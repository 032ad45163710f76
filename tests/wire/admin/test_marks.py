"""The mark of each state."""

import pytest

from appliance.trust.artifacts.records import ModelState
from appliance.wire.admin.marks import mark


@pytest.mark.parametrize(
    ("state", "sign"),
    [("serving", "+"), ("LIVE", "+"), ("starting", "~"), ("refused", "!"), ("DOWN", "!")],
)
def test_a_state_has_its_mark_in_any_case(state: str, sign: str) -> None:
    assert mark(state) == sign


def test_what_is_not_known_is_at_rest() -> None:
    assert mark("idle") == mark("") == mark("\x1b") == "-"


@pytest.mark.parametrize("state", [ModelState.REFUSED, ModelState.SUSPENDED, ModelState.REVOKED])
def test_a_model_that_needs_a_person_says_so(state: ModelState) -> None:
    assert mark(state) == "!"
