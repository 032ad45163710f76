"""One run of a job: its entries, its failures, and what happens without a log."""

from pathlib import Path

import pytest

from appliance.errors import AuditUnavailable, StateRefused
from appliance.jobs.kind import Waits, digest
from appliance.jobs.states import JobState
from tests.jobs.shop import shop


async def test_start_and_end_are_in_the_log(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        result = await (await s.jobs.start("count", {"to": 1}, "uid:1")).outcome()
        (start,), (end,) = s.entries("job_start"), s.entries("job_end")
        assert (start["actor"], start["job"], start["work"]) == ("uid:1", 1, "count")
        assert (start["params"], start["resumed"], start["title"]) == ('{"to": 1}', False, "to 1")
        assert (end["actor"], end["job"], end["state"], end["code"]) == ("uid:1", 1, "done", "")
        assert end["result_sha256"] == digest(result.document)


async def test_a_failure_keeps_its_code_and_message(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        live = await s.jobs.start("once", {"to": 1, "fail": "wrong_state"}, "uid:1")
        with pytest.raises(StateRefused) as caught:
            await live.outcome()
        assert caught.value.code == "wrong_state"
        job = (await s.jobs.get(live.job.id)).job
        assert (job.state, job.code) == (JobState.FAILED, "wrong_state")
        assert job.message == "It was asked to fail."
        (end,) = s.entries("job_end")
        assert (end["state"], end["code"]) == ("failed", "wrong_state")
        assert "result_sha256" not in end


async def test_work_that_waits_for_people_is_paused_until_one_resumes_it(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        live = await s.jobs.start("count", {"to": 2, "waits": True}, "uid:1")
        with pytest.raises(Waits):
            await live.outcome()
        shown = await s.jobs.get(live.job.id)
        assert (shown.job.state, shown.job.code) == (JobState.PAUSED, "gate_labels_wanted")
        assert set(shown.actions) == {"resume", "cancel"} and shown.job.message
        await s.jobs.resume(live.job.id, "uid:1")
        again = s.jobs.live(live.job.id)
        assert again is not None and (await again.outcome()).document["counted"] == 2
        assert s.count.begun == [0, 2]  # from its checkpoint
        states = [e["state"] for e in s.entries("job_end")]
        assert states == ["paused", "done"]


async def test_a_mistake_in_the_code_fails_the_job_and_tells_no_details(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        live = await s.jobs.start("once", {"to": 1, "crash": True}, "uid:1")
        with pytest.raises(RuntimeError):
            await live.outcome()
        job = (await s.jobs.get(live.job.id)).job
        assert (job.state, job.code) == (JobState.FAILED, "job_failed")
        assert job.message == "The work ended with RuntimeError."


async def test_without_a_log_nothing_begins_but_what_only_reads(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        s.audit.close()
        live = await s.jobs.start("count", {"to": 1}, "uid:1")
        with pytest.raises(AuditUnavailable):
            await live.outcome()
        assert s.count.begun == []
        assert (await s.jobs.get(live.job.id)).job.code == "audit_unavailable"
        live = await s.jobs.start("look", {"to": 1}, "uid:1")
        assert (await live.outcome()).document["counted"] == 1


async def test_no_record_of_the_end_no_result(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        live = await s.held(s.once)
        s.audit.close()
        s.once.gate.set()
        with pytest.raises(AuditUnavailable):
            await live.outcome()
        job = (await s.jobs.get(live.job.id)).job
        assert (job.state, job.code, job.result) == (JobState.FAILED, "audit_unavailable", None)
