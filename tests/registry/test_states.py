"""The table of an artifact's life."""

import pytest

from appliance.errors import StateRefused
from appliance.registry.states import ACTIONS, MISSING, TABLE, actions, following
from appliance.trust.artifacts.records import ModelState


def test_every_state_has_a_row_and_every_event_leads_to_a_state() -> None:
    assert set(TABLE) == set(ModelState)
    assert {after for row in TABLE.values() for after in row.values()} <= set(ModelState)


def test_every_state_is_reached_from_quarantine() -> None:
    reached = {ModelState.QUARANTINED}
    while more := {after for state in reached for after in TABLE[state].values()} - reached:
        reached |= more
    assert reached == set(ModelState)


def test_nothing_is_served_that_was_not_verified_and_approved() -> None:
    """Without these two there is no way to memory; the test above is the positive control."""
    for left_out in ("verify", "approve"):
        reached = {ModelState.QUARANTINED}
        while (
            more := {
                after
                for state in reached
                for event, after in TABLE[state].items()
                if event != left_out
            }
            - reached
        ):
            reached |= more
        assert not reached & {ModelState.STAGED, ModelState.SERVING}


def test_what_is_revoked_stays_so_and_what_is_retired_is_never_served_again() -> None:
    assert TABLE[ModelState.REVOKED] == {}
    assert set(TABLE[ModelState.RETIRED].values()) == {ModelState.REVOKED}
    for state in ModelState:
        if state is not ModelState.REVOKED:
            assert TABLE[state]["revoke"] is ModelState.REVOKED


@pytest.mark.parametrize(
    ("state", "allowed"),
    [
        ("quarantined", ("retire", "revoke")),
        ("verified", ("approve", "retire", "revoke")),
        ("approved", ("load", "approve", "suspend", "retire", "revoke")),
        ("serving", ("unload", "approve", "suspend", "retire", "revoke")),
        ("suspended", ("approve", "retire", "revoke")),
        ("refused", ("retire", "revoke")),
        ("retired", ("revoke",)),
        ("revoked", ()),
        (MISSING, ("retire", "revoke")),
    ],
)
def test_people_may(state: str, allowed: tuple[str, ...]) -> None:
    assert actions(state) == allowed


def test_what_the_table_does_not_hold_is_refused_with_what_it_allows() -> None:
    for state in ModelState:
        for action in ACTIONS:
            if action in TABLE[state]:
                assert following("m", state, action) is TABLE[state][action]
                continue
            with pytest.raises(StateRefused) as caught:
                following("m", state, action)
            early = (state, action) == (ModelState.VERIFIED, "load")
            assert caught.value.code == ("not_approved" if early else "wrong_state")
            assert caught.value.message.startswith("m is ")


@pytest.mark.parametrize("kind", ["task", "route", "dataset"])
def test_what_is_no_model_is_offered_no_place_in_memory(kind: str) -> None:
    assert "load" in actions("approved", "generate") and "load" in actions("approved")  # controls
    assert "load" not in actions("approved", kind)
    assert "unload" not in actions("serving", kind)
    assert {"approve", "suspend", "retire", "revoke"} == set(actions("approved", kind))
