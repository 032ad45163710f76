"""What a kind's work may use, and the bounds of its JSON."""

import threading

import pytest

from appliance.errors import StateRefused
from appliance.jobs.kind import MAX_JSON, Context, JsonObject, Kind, Stop, dumps
from appliance.types import Role


def context(check: object = None) -> tuple[Context, list[object]]:
    told: list[object] = []

    def stop() -> None:
        if check:
            raise Stop("job_paused", "Job 1 was paused.")

    made = Context(1, "uid:1", {}, None, False, 0, lambda *r: told.append(r), stop, told.append)
    return made, told


def test_a_report_is_told_before_the_work_stops() -> None:
    job, told = context(check=True)
    with pytest.raises(Stop):
        job.report("copying", 1, 2)
    assert told == [("copying", 1, 2)]
    with pytest.raises(Stop):
        job.check()


def test_a_checkpoint_is_kept_and_seen() -> None:
    job, told = context()
    job.save({"done": 1})
    assert told == [job.checkpoint] == [{"done": 1}]


async def test_blocking_code_runs_in_a_thread() -> None:
    job, _ = context()
    assert await job.in_thread(threading.get_ident) != threading.get_ident()


def test_json_is_bounded() -> None:
    assert dumps({"b": 1, "a": 2}) == '{"a":2,"b":1}'
    with pytest.raises(StateRefused) as caught:
        dumps({"a": "x" * MAX_JSON})
    assert caught.value.code == "job_too_large"


async def test_the_defaults_of_a_kind_are_the_careful_ones() -> None:
    class Plain(Kind):
        name = "plain"

        async def run(self, job: Context) -> JsonObject:
            return await super().run(job)

    kind = Plain()
    assert (kind.role, kind.heavy, kind.resumable, kind.read_only) == (
        Role.ADMIN, False, False, False,
    )  # fmt: skip
    assert (kind.key({}), kind.needs({}), kind.wanted({}), kind.title({})) == (None, 0, False, "")
    with pytest.raises(NotImplementedError):
        await kind.run(context()[0])
