"""The table of a job's life: what follows, what is refused, and what people may do."""

import pytest

from appliance.errors import StateRefused
from appliance.jobs.states import ACTIONS, ENDED, LIVE, TABLE, JobState, actions, following


def test_every_state_has_a_row_and_every_event_leads_to_a_state_of_the_table() -> None:
    assert set(TABLE) == set(JobState)
    assert {after for row in TABLE.values() for after in row.values()} <= set(TABLE)


def test_every_state_is_reached_from_queued() -> None:
    reached = {JobState.QUEUED}
    while more := {after for state in reached for after in TABLE[state].values()} - reached:
        reached |= more
    assert reached == set(JobState)


def test_an_event_that_the_table_does_not_hold_is_refused() -> None:
    for state in JobState:
        for event in ("pause", "resume", "cancel", "start", "finish", "stop", "nonsense"):
            if event in TABLE[state]:
                assert following(state, event) is TABLE[state][event]
            else:
                with pytest.raises(StateRefused) as caught:
                    following(state, event)
                assert caught.value.code == "job_wrong_state"


@pytest.mark.parametrize(
    ("state", "resumable", "allowed"),
    [
        (JobState.QUEUED, True, ("pause", "cancel")),
        (JobState.RUNNING, True, ("pause", "cancel")),
        (JobState.RUNNING, False, ("cancel",)),
        (JobState.PAUSING, True, ("resume", "cancel")),
        (JobState.PAUSED, True, ("resume", "cancel")),
        (JobState.FAILED, True, ("resume",)),
        (JobState.FAILED, False, ()),
        (JobState.CANCELLING, True, ()),
        (JobState.DONE, True, ()),
        (JobState.INTERRUPTED, False, ()),
    ],
)
def test_people_may_do(state: JobState, resumable: bool, allowed: tuple[str, ...]) -> None:
    assert actions(state, resumable=resumable) == allowed


def test_work_under_way_survives_the_end_of_the_server_in_some_state_that_is_not_live() -> None:
    for state in LIVE:
        for event in ("requeue", "shelve", "lose"):
            assert TABLE[state][event] not in LIVE


def test_of_the_states_that_ended_only_a_failure_can_be_left_and_only_by_a_person() -> None:
    for state in ENDED:
        assert set(TABLE[state]) <= ({"resume"} if state is JobState.FAILED else set())
    assert {"resume"} <= set(ACTIONS)
