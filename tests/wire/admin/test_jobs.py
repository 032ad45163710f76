"""Jobs on the wire: an older client reads a newer server, and a request is held to its fields."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.jobs import Job, JobList, JobStart

JOB = {"id": 1, "kind": "import", "title": "t", "state": "done", "actor": "uid:0", "created": "x"}


def test_a_reply_may_say_more_and_need_not_say_all() -> None:
    found = JobList.model_validate({"jobs": [{**JOB, "later": 1}]})
    assert found.jobs[0].progress.total == 0
    assert (found.jobs[0].actions, found.jobs[0].result) == ([], None)
    assert Job.model_validate({**JOB, "progress": {"phase": "p", "rate": 1.5}}).progress.rate == 1.5


@pytest.mark.parametrize("fields", [{}, {"kind": 5}, {"kind": "import", "params": []}])
def test_a_start_names_its_field(fields: dict[str, object]) -> None:
    with pytest.raises(BadRequest):
        JobStart.of(**fields)


def test_unknown_fields_of_a_start_are_refused() -> None:
    with pytest.raises(BadRequest):
        JobStart.of(kind="import", params={}, speed="high")
