"""The state of the connection."""

import pytest

from appliance.errors import ApplianceError, Refused, ServerUnreachable, Unavailable
from tui.link import STALE_SECONDS, Link, LinkState

DOWN = ServerUnreachable("server_unreachable", "s does not answer.")


def test_it_begins_without_data() -> None:
    assert Link().state(0) is LinkState.CONNECTING
    assert Link().words(0) == "CONNECTING"


def test_data_are_live_until_they_are_stale() -> None:
    link = Link().succeeded(100)
    assert link.state(100 + STALE_SECONDS) is LinkState.LIVE
    assert link.state(101 + STALE_SECONDS) is LinkState.STALE
    assert link.words(114) == "STALE | data 14 s old"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (DOWN, LinkState.DOWN),
        (Unavailable("audit_unavailable", "full"), LinkState.DOWN),
        (Refused("forbidden", "no"), LinkState.DENIED),
        (Unavailable("incompatible_server", "what?"), LinkState.INCOMPATIBLE),
    ],
)
def test_a_failure_names_its_reason_and_what_to_do(error: ApplianceError, state: LinkState) -> None:
    link = Link().succeeded(100).failed(error)
    assert link.state(100) is state
    assert link.words(103) == f"{state} | data 3 s old | {error.message} | {error.hint}"


def test_the_age_is_that_of_the_last_data() -> None:
    link = Link().succeeded(100).failed(DOWN).failed(DOWN)
    assert "data 60 s old" in link.words(160)
    assert "no data yet" in Link().failed(DOWN).words(1)


def test_data_end_the_trouble() -> None:
    assert Link().failed(DOWN).succeeded(5).state(5) is LinkState.LIVE
