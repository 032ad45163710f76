"""What a kind's work may use, and the bounds of its JSON."""

import asyncio
import os
import threading

import pytest

from appliance.errors import BadRequest, DatasetRefused, StateRefused
from appliance.jobs.kind import MAX_JSON, Context, JobKind, Stop, dumps
from appliance.types import Role
from appliance.wire.admin.jobs import LoadRequest
from tests.jobs.shop import Count, Counted, Nothing


def context(check: object = None) -> tuple[Context[Nothing], list[object]]:
    told: list[object] = []

    def stop() -> None:
        if check:
            raise Stop("job_paused", "Job 1 was paused.")

    made = Context(
        1, "uid:1", Nothing(), None, False, 0, lambda *r: told.append(r), stop, told.append
    )
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


async def test_blocking_code_takes_no_thread_from_what_is_short() -> None:
    job, _ = context()
    most = min(32, (os.cpu_count() or 1) + 4)  # that the event loop has for everybody
    going = threading.Event()
    long = [asyncio.create_task(job.in_thread(going.wait)) for _ in range(most)]
    try:
        async with asyncio.timeout(30):
            assert await asyncio.to_thread(threading.get_ident)
    finally:
        going.set()
        await asyncio.gather(*long)


async def test_what_may_be_given_up_is_cancelled_when_the_job_is_to_stop() -> None:
    job, _ = context(check=True)
    ended = asyncio.Event()

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(Stop):
        await job.unless_stopped(never())
    assert ended.is_set()


async def test_what_ends_by_itself_gives_its_result_or_its_error() -> None:
    job, _ = context()

    async def ends(code: str = "") -> int:
        if code:
            raise StateRefused(code, "No.")
        return 7

    assert await job.unless_stopped(ends()) == 7
    with pytest.raises(StateRefused):
        await job.unless_stopped(ends("job_wrong_state"))


def test_json_is_bounded() -> None:
    assert dumps({"b": 1, "a": 2}) == '{"a":2,"b":1}'
    with pytest.raises(StateRefused) as caught:
        dumps({"a": "x" * MAX_JSON})
    assert caught.value.code == "job_too_large"


async def test_the_defaults_of_a_kind_are_the_careful_ones() -> None:
    class Plain(JobKind[Nothing, Counted]):
        name = "plain"
        form = Nothing

    kind, params = Plain(), Nothing()
    assert (kind.role, kind.heavy, kind.resumable, kind.read_only) == (
        Role.ADMIN, False, False, False,
    )  # fmt: skip
    assert (kind.key(params), kind.needs(params)) == (None, 0)
    assert (kind.wanted(params), kind.title(params)) == (False, "")
    with pytest.raises(NotImplementedError):
        await kind.run(context()[0])


def test_parameters_are_read_once_as_a_struct_or_refused_with_the_code_of_their_kind() -> None:
    class Strict(JobKind[Count, Counted]):
        name = "strict"
        form = Count
        malformed = (DatasetRefused, "dataset_check_invalid")

    class Loading(JobKind[LoadRequest, Counted]):
        name = "loading"
        form = LoadRequest

    assert Strict().read('{"to":3,"key":"k"}') == Count(to=3, key="k")
    for text in ('{"to":"3"}', "[]", '{"key":"\\ud800"}'):
        with pytest.raises(DatasetRefused) as caught:
            Strict().read(text)
        assert caught.value.code == "dataset_check_invalid"
    assert Loading().read('{"model":"m"}') == LoadRequest(model="m")
    with pytest.raises(BadRequest) as wrong:
        Loading().read('{"model":""}')
    assert (wrong.value.code, wrong.value.param) == ("invalid_value", "model")
