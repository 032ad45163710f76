"""The table of peers."""

import pytest

from appliance.wire.admin.site import SitePeer, state_of

LIVE = SitePeer(
    name="b", url="https://b", cosigned=9, cosigned_at=None, seen=4, seen_at=None, problem="",
    differs="",
)  # fmt: skip


@pytest.mark.parametrize(
    ("problem", "differs", "state"),
    [("", "", "live"), ("away", "", "down"), ("away", "put back", "differs")],
)
def test_a_log_that_differs_is_the_worst(problem: str, differs: str, state: str) -> None:
    assert state_of(LIVE.model_copy(update={"problem": problem, "differs": differs})) == state
