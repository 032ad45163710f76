"""Jobs in the database: states by the table alone, bounded JSON, the newest kept."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.clock import FixedClock
from appliance.db import open_database
from appliance.errors import StateRefused
from appliance.jobs import store
from appliance.jobs.kind import MAX_JSON, dumps
from appliance.jobs.progress import Progress
from appliance.jobs.states import JobState
from appliance.jobs.store import JobStore, StoredJob


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def jobs(tmp_path: Path, clock: FixedClock) -> Iterator[JobStore]:
    database = open_database(tmp_path / "appliance.db", (store.TABLES,))
    yield JobStore(database, clock, keep=3)
    database.dispose()


def make(jobs: JobStore, **params: object) -> StoredJob:
    return jobs.create("count", "to 3", "uid:1", dumps({"to": 3, **params}), False)


def test_a_new_job_is_queued_and_keeps_what_it_was_given(jobs: JobStore, clock: FixedClock) -> None:
    job = make(jobs, nested={"a": [1, 2.5, None]})
    assert jobs.get(job.id) == job
    assert (job.kind, job.title, job.actor, job.state) == (
        "count",
        "to 3",
        "uid:1",
        JobState.QUEUED,
    )
    assert job.params == '{"nested":{"a":[1,2.5,null]},"to":3}'
    assert job.created_us == clock.now_us
    assert (job.started_us, job.ended_us, job.checkpoint, job.result) == (None,) * 4


def test_an_event_changes_state_times_and_columns(jobs: JobStore, clock: FixedClock) -> None:
    job = make(jobs)
    clock.advance(1)
    started = jobs.advance(job.id, "start")
    assert (started.state, started.started_us) == (JobState.RUNNING, clock.now_us)
    clock.advance(1)
    done = jobs.advance(job.id, "finish", result='{"n":1}')
    assert (done.state, done.result, done.ended_us) == (JobState.DONE, '{"n":1}', clock.now_us)
    assert done.started_us == started.started_us


def test_an_event_that_does_not_fit_changes_nothing(jobs: JobStore) -> None:
    job = make(jobs)
    with pytest.raises(StateRefused) as caught:
        jobs.advance(job.id, "finish", result="{}")
    assert caught.value.code == "job_wrong_state"
    assert jobs.get(job.id) == job


def test_a_job_that_is_resumed_has_no_end_any_more(jobs: JobStore) -> None:
    job = make(jobs)
    jobs.advance(job.id, "start")
    assert jobs.advance(job.id, "fail", code="x", message="y").ended_us is not None
    assert jobs.advance(job.id, "resume").ended_us is None


def test_progress_and_checkpoint_are_kept(jobs: JobStore) -> None:
    job = make(jobs)
    jobs.note(job.id, Progress("counting", 1, 3, "steps", 2.0))
    jobs.save(job.id, {"done": 1})
    kept = jobs.get(job.id)
    assert kept.progress == Progress("counting", 1, 3, "steps", None)
    assert kept.checkpoint == {"done": 1}


def test_an_unknown_id_is_refused(jobs: JobStore) -> None:
    for act in (jobs.get, lambda number: jobs.advance(number, "start")):
        with pytest.raises(StateRefused) as caught:
            act(7)
        assert caught.value.code == "unknown_job_id"


def test_json_that_is_too_large_is_refused_and_nothing_is_kept(jobs: JobStore) -> None:
    job = make(jobs)
    long = {"text": "x" * MAX_JSON}
    with pytest.raises(StateRefused) as caught:
        jobs.save(job.id, long)
    assert caught.value.code == "job_too_large"
    assert jobs.newest(10) == [job]
    fits = {"text": "x" * (MAX_JSON - len('{"text":""}'))}
    jobs.save(job.id, fits)
    assert jobs.get(job.id).checkpoint == fits


def test_of_the_jobs_that_ended_the_newest_are_kept_and_all_others_stay(jobs: JobStore) -> None:
    waiting = make(jobs)
    for _ in range(6):
        jobs.advance(make(jobs).id, "cancel")
    newest = make(jobs)
    ids = [job.id for job in jobs.newest(100)]
    assert ids == [8, 7, 6, 5, 1]
    assert (waiting.id, newest.id) == (1, 8)


def test_a_number_is_never_used_again(jobs: JobStore) -> None:
    for number in range(1, 8):
        job = make(jobs)
        assert job.id == number
        jobs.advance(job.id, "cancel")


def test_the_jobs_that_are_not_over(jobs: JobStore) -> None:
    queued, running, paused = make(jobs), make(jobs), make(jobs)
    jobs.advance(running.id, "start")
    jobs.advance(paused.id, "pause")
    assert [job.id for job in jobs.unfinished()] == [queued.id, running.id]
