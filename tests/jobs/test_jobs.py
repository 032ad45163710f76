"""Jobs: order, pause, resume, cancel, watchers, and the end of the server."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from sqlalchemy.exc import OperationalError

from appliance.errors import Refused, StateRefused, Unavailable
from appliance.jobs.states import JobState
from tests.jobs.shop import Purse, shop


async def test_a_job_runs_at_once_and_gives_its_result(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        live = await s.jobs.start("count", {"to": 3}, "uid:1")
        assert (await live.outcome()).document == {"counted": 3, "actor": "uid:1"}
        shown = await s.jobs.get(live.job.id)
        assert (shown.job.state, shown.job.result) == (
            JobState.DONE, '{"actor":"uid:1","counted":3}',
        )  # fmt: skip
        assert (shown.job.progress.phase, shown.job.progress.unit) == ("counting", "steps")
        assert shown.actions == ()


async def test_parameters_and_kinds_that_cannot_be_are_refused_and_nothing_is_kept(
    tmp_path: Path,
) -> None:
    with shop(tmp_path) as s:
        for name, params, code in (
            ("count", {"to": -1}, "invalid_value"),
            ("nothing", {}, "job_kind_unknown"),
        ):
            with pytest.raises(StateRefused) as caught:
                await s.jobs.start(name, params, "uid:1")
            assert caught.value.code == code
        assert await s.jobs.newest() == []
        assert s.entries("job_start") == []


async def test_a_job_is_paused_at_a_safe_point_and_resumed_from_its_checkpoint(
    tmp_path: Path,
) -> None:
    with shop(tmp_path) as s:
        live = await s.held(s.count)
        shown = await s.jobs.pause(live.job.id, "uid:2")
        assert (shown.job.state, shown.actions) == (JobState.PAUSING, ("resume", "cancel"))
        s.count.gate.set()
        with pytest.raises(Unavailable) as caught:
            await live.outcome()
        assert caught.value.code == "job_paused"
        shown = await s.jobs.get(live.job.id)
        assert (shown.job.state, shown.actions) == (JobState.PAUSED, ("resume", "cancel"))
        assert shown.job.checkpoint == {"done": 1}
        await s.jobs.resume(live.job.id, "uid:3")
        again = s.jobs.live(live.job.id)
        assert again is not None
        assert (await again.outcome()).document == {"counted": 3, "actor": "uid:1"}
        assert s.count.begun == [0, 1]
        assert [e["resumed"] for e in s.entries("job_start")] == [False, True]
        assert [e["state"] for e in s.entries("job_end")] == ["paused", "done"]
        steered = [(e["action"], e["actor"]) for e in s.entries("admin")]
        assert steered == [("job_pause", "uid:2"), ("job_resume", "uid:3")]


async def test_a_job_that_is_resumed_before_it_stops_just_goes_on(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        live = await s.held(s.count)
        await s.jobs.pause(live.job.id, "uid:2")
        assert (await s.jobs.resume(live.job.id, "uid:2")).job.state is JobState.RUNNING
        s.count.gate.set()
        assert (await live.outcome()).document["counted"] == 3


async def test_a_stop_that_came_before_the_resume_begins_the_work_again_from_its_checkpoint(
    tmp_path: Path,
) -> None:
    with shop(tmp_path) as s:
        live = await s.held(s.count)
        await asyncio.to_thread(s.store.advance, live.job.id, "pause")
        live.asked = "pause"
        await asyncio.to_thread(s.store.advance, live.job.id, "resume")
        s.count.gate.set()  # it reports now, and Stop is raised although it was resumed
        while len(s.count.begun) < 2:
            await asyncio.sleep(0.005)
        live.asked = ""
        assert (await live.outcome()).document["counted"] == 3
        assert s.count.begun[0] == 0


async def test_a_job_is_cancelled_at_a_safe_point(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        live = await s.held(s.once)
        assert (await s.jobs.cancel(live.job.id, "uid:2")).job.state is JobState.CANCELLING
        s.once.gate.set()
        with pytest.raises(Unavailable) as caught:
            await live.outcome()
        assert caught.value.code == "job_cancelled"
        shown = await s.jobs.get(live.job.id)
        assert (shown.job.state, shown.job.code) == (JobState.CANCELLED, "job_cancelled")
        assert shown.actions == ()


async def test_a_paused_job_is_cancelled_where_it_stands(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        live = await s.held(s.count)
        await s.jobs.pause(live.job.id, "uid:2")
        s.count.gate.set()
        await s.until(live.job.id, JobState.PAUSED)
        assert (await s.jobs.cancel(live.job.id, "uid:2")).job.state is JobState.CANCELLED


@pytest.mark.parametrize(
    ("act", "state", "code"),
    [("pause", JobState.PAUSED, "job_paused"), ("cancel", JobState.CANCELLED, "job_cancelled")],
)
async def test_what_may_be_given_up_stops_without_a_report(
    tmp_path: Path, act: str, state: JobState, code: str
) -> None:
    with shop(tmp_path) as s:
        live = await s.jobs.start("silent", {}, "uid:1")
        await s.until(live.job.id, JobState.RUNNING)
        while not live.progress.phase:
            await asyncio.sleep(0.005)
        await getattr(s.jobs, act)(live.job.id, "uid:2")
        with pytest.raises(Unavailable) as caught:
            await live.outcome()
        assert (caught.value.code, s.silent.given_up) == (code, 1)
        job = (await s.jobs.get(live.job.id)).job
        assert (job.state, job.code) == (state, code)


async def test_a_job_that_is_cancelled_before_or_between_its_work_says_so(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        first = await s.held(s.heavy)
        queued = await s.jobs.start("heavy", {"to": 1}, "uid:1")
        paused = await s.jobs.start("heavy", {"to": 1}, "uid:1")
        told = await s.jobs.pause(paused.job.id, "uid:2")
        assert (told.job.state, told.job.code) == (JobState.PAUSED, "job_paused")
        for live in (queued, paused):
            job = (await s.jobs.cancel(live.job.id, "uid:2")).job
            assert (job.state, job.code) == (JobState.CANCELLED, "job_cancelled")
            assert job.message == f"Job {job.id} was cancelled."
        await asyncio.to_thread(s.store.advance, first.job.id, "cancel")  # and then the crash
        s.heavy.gate.set()
        while not first.over:
            await asyncio.sleep(0.005)


async def test_a_job_that_was_being_cancelled_when_the_server_ended_says_so(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        job = s.store.create("count", "to 1", "uid:1", '{"to":1}', served=True)
        s.store.advance(job.id, "start")
        s.store.advance(job.id, "cancel")
        (found,) = s.jobs.recover()
        assert (found.state, found.code) == (JobState.CANCELLED, "job_cancelled")


async def test_work_in_a_thread_stops_at_its_next_report(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        live = await s.jobs.start("thread", {}, "uid:1")
        await asyncio.to_thread(s.thread.seen.wait)
        await s.jobs.cancel(live.job.id, "uid:1")
        with pytest.raises(Unavailable):
            await live.outcome()


async def test_what_a_state_does_not_allow_is_refused_and_not_recorded(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        live = await s.jobs.start("once", {"to": 1}, "uid:1")
        await live.outcome()
        for act in (s.jobs.pause, s.jobs.resume, s.jobs.cancel):
            with pytest.raises(StateRefused) as caught:
                await act(live.job.id, "uid:2")
            assert caught.value.code == "job_wrong_state"
        held = await s.held(s.once)
        with pytest.raises(StateRefused):  # its kind cannot continue
            await s.jobs.pause(held.job.id, "uid:2")
        assert s.entries("admin") == []
        s.once.gate.set()
        assert (await held.outcome()).document["counted"] == 3


async def test_a_failed_job_that_can_continue_is_resumed(tmp_path: Path) -> None:
    purse = Purse()
    with shop(tmp_path, purse) as s:
        purse.held["a model"] = 90
        live = await s.jobs.start("heavy", {"to": 2, "needs": 20}, "uid:1")
        with pytest.raises(Refused) as caught:
            await live.outcome()
        assert caught.value.code == "insufficient_memory"
        assert (await s.jobs.get(live.job.id)).actions == ("resume",)
        purse.held.clear()
        shown = await s.jobs.resume(live.job.id, "uid:1")
        assert (shown.job.code, shown.job.message) == ("", "")
        await s.until(live.job.id, JobState.DONE)
        assert purse.held == {}


# heavy jobs


async def test_heavy_jobs_run_one_at_a_time_in_order_beside_light_ones(tmp_path: Path) -> None:
    purse = Purse()
    with shop(tmp_path, purse) as s:
        first = await s.held(s.heavy, needs=80)
        others = [await s.jobs.start("heavy", {"to": 2, "needs": 80}, "uid:1") for _ in range(3)]
        light = await s.jobs.start("count", {"to": 2}, "uid:1")
        await light.outcome()
        states = [shown.job.state for shown in await s.jobs.newest()]
        assert states == [
            JobState.DONE,
            JobState.QUEUED,
            JobState.QUEUED,
            JobState.QUEUED,
            JobState.RUNNING,
        ]
        assert purse.held == {f"job {first.job.id}": 80}
        s.heavy.gate.set()
        for live in (first, *others):
            await live.outcome()
        assert s.heavy.most == 1
        started = [e["job"] for e in s.entries("job_start") if e["work"] == "heavy"]
        assert started == [live.job.id for live in (first, *others)]
        assert purse.held == {}


async def test_what_needs_no_engine_does_not_wait_behind_what_does(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        long = await s.held(s.heavy)
        behind = await s.jobs.start("heavy", {"to": 1}, "uid:1")
        first = await s.held(s.short)
        second = await s.jobs.start("short", {"to": 1}, "uid:1")
        assert (await s.jobs.get(second.job.id)).job.state is JobState.QUEUED  # one at a time, too
        s.short.gate.set()
        for live in (first, second):
            await live.outcome()
        assert s.short.most == 1
        states = [(await s.jobs.get(live.job.id)).job.state for live in (long, behind)]
        assert states == [JobState.RUNNING, JobState.QUEUED]  # the positive control
        s.heavy.gate.set()
        await behind.outcome()


async def test_both_queues_go_on_after_the_end_of_the_server(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        await s.jobs.serve()
        left = [await s.held(kind) for kind in (s.heavy, s.short)]
        closing = asyncio.create_task(s.jobs.close())
        await asyncio.sleep(0)
        s.heavy.gate.set()
        s.short.gate.set()
        await closing
    with shop(tmp_path) as s:
        await s.jobs.serve()
        assert s.heavy.running == s.short.running == 0
        for live in left:
            await s.until(live.job.id, JobState.DONE)


async def test_light_jobs_run_together(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        both = [await s.held(s.count), await s.held(s.count)]
        s.count.gate.set()
        for live in both:
            await live.outcome()
        assert s.count.most == 2  # the positive control of the test above


async def test_a_heavy_job_that_waits_is_paused_resumed_and_cancelled(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        first = await s.held(s.heavy)
        second = await s.jobs.start("heavy", {"to": 1}, "uid:1")
        third = await s.jobs.start("heavy", {"to": 1}, "uid:1")
        assert (await s.jobs.pause(second.job.id, "uid:1")).job.state is JobState.PAUSED
        assert (await s.jobs.cancel(third.job.id, "uid:1")).job.state is JobState.CANCELLED
        for live in (second, third):
            with pytest.raises(Unavailable):
                await live.outcome()
        assert (await s.jobs.resume(second.job.id, "uid:1")).job.state is JobState.QUEUED
        s.heavy.gate.set()
        await first.outcome()
        await s.until(second.job.id, JobState.DONE)


async def test_the_line_of_heavy_jobs_is_bounded(tmp_path: Path) -> None:
    with shop(tmp_path, most_waiting=2) as s:
        first = await s.held(s.heavy)
        waiting = [await s.jobs.start("heavy", {"to": 1}, "uid:1") for _ in range(2)]
        with pytest.raises(Unavailable) as caught:
            await s.jobs.start("heavy", {"to": 1}, "uid:1")
        assert caught.value.code == "too_many_jobs"
        assert len(await s.jobs.newest()) == 3
        s.heavy.gate.set()
        for live in (first, *waiting):
            await live.outcome()


# watchers


async def test_a_second_start_of_the_same_watches_the_first(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        first = await s.held(s.count, key="x")
        assert await s.jobs.start("count", {"to": 9, "key": "x"}, "uid:2") is first
        assert await s.jobs.start("count", {"to": 1, "key": "y"}, "uid:2") is not first
        s.count.gate.set()
        await first.outcome()


async def test_two_starts_of_the_same_at_once_are_one_job(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        starts = (s.jobs.start("count", {"to": 1, "key": "x"}, "uid:1") for _ in range(5))
        lives = await asyncio.gather(*starts)
        assert len(set(lives)) == 1
        await lives[0].outcome()
        assert len(await s.jobs.newest()) == 1


async def test_a_job_that_begins_has_its_number_when_it_is_kept(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        live = s.jobs.begin("count", {"to": 1}, "uid:1")
        assert (live.job.id, live.job.params) == (0, '{"to":1}')
        assert (await live.outcome()).document["counted"] == 1
        assert live.job.id == 1
        with (
            mock.patch.object(
                s.store, "create", side_effect=OperationalError("I", {}, Exception())
            ),
            pytest.raises(Unavailable) as caught,
        ):
            await s.jobs.begin("count", {"to": 1}, "uid:1").outcome()
        assert caught.value.code == "jobs_unwritable"
        assert s.count.begun == [0]


async def test_work_that_the_last_watcher_leaves_stops(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        for kind, state in ((s.count, JobState.PAUSED), (s.once, JobState.CANCELLED)):
            live = await s.held(kind)
            with s.jobs.watching(live):
                with s.jobs.watching(live):
                    pass
                assert live.asked == ""
            kind.gate.set()
            with pytest.raises(Unavailable) as caught:
                await live.outcome()
            assert caught.value.code == "interrupted"
            job = (await s.jobs.get(live.job.id)).job
            assert (job.state, job.code) == (state, "interrupted")


async def test_work_that_is_wanted_otherwise_outlives_its_watchers(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        live = await s.held(s.count)
        s.count.needed = True
        with s.jobs.watching(live):
            pass
        s.count.gate.set()
        assert (await live.outcome()).document["counted"] == 3


async def test_a_job_that_is_left_before_it_is_kept_stops(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        for name in ("count", "heavy"):
            live = s.jobs.begin(name, {"to": 3}, "uid:1")
            with s.jobs.watching(live):
                pass
            with pytest.raises(Unavailable):
                await live.outcome()
            assert (await s.jobs.get(live.job.id)).job.state is JobState.PAUSED


async def test_a_heavy_job_that_waits_and_is_left_never_runs(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        first = await s.held(s.heavy)
        second = await s.jobs.start("heavy", {"to": 1}, "uid:1")
        with s.jobs.watching(second):
            pass
        await s.until(second.job.id, JobState.PAUSED)
        s.heavy.gate.set()
        await first.outcome()
        assert s.heavy.begun == [0]


async def test_a_database_that_cannot_be_written_refuses_the_job(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        broken = OperationalError("INSERT", {}, Exception("disk full"))
        with (
            mock.patch.object(s.store, "create", side_effect=broken),
            pytest.raises(Unavailable) as caught,
        ):
            await s.jobs.start("count", {"to": 1}, "uid:1")
        assert caught.value.code == "jobs_unwritable"


# the end of the server


async def test_a_server_that_stops_leaves_resumable_work_to_the_next_start(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        await s.jobs.serve()
        live, once = await s.held(s.count), await s.held(s.once)
        closing = asyncio.create_task(s.jobs.close())
        await asyncio.sleep(0)
        s.count.gate.set()
        await closing
        for ended in (live, once):
            with pytest.raises(Unavailable) as caught:
                await ended.outcome()
            assert caught.value.code == "shutting_down"
        assert (await s.jobs.get(live.job.id)).job.state is JobState.QUEUED
        assert (await s.jobs.get(once.job.id)).job.state is JobState.INTERRUPTED
        with pytest.raises(Unavailable):
            await s.jobs.start("count", {"to": 1}, "uid:1")
        assert {e["state"] for e in s.entries("job_end")} == {"interrupted", "queued"}
    with shop(tmp_path) as s:
        assert s.jobs.recover() == []
        await s.jobs.serve()
        await s.until(live.job.id, JobState.DONE)
        assert s.count.begun == [1]


async def test_a_start_joins_the_same_work_that_the_last_server_left(tmp_path: Path) -> None:
    with shop(tmp_path) as s:
        await s.jobs.serve()
        left = await s.held(s.count, key="k")
        closing = asyncio.create_task(s.jobs.close())
        await asyncio.sleep(0)
        s.count.gate.set()
        await closing
    with shop(tmp_path) as s:
        s.count.gate.clear()
        await s.jobs.serve()
        async with asyncio.timeout(30):
            again = await s.jobs.start("count", {"to": 3, "key": "k"}, "uid:1")
        assert again.job.id == left.job.id
        s.count.gate.set()
        await s.until(left.job.id, JobState.DONE)


_KILLED = """# forked
import asyncio, sys
from pathlib import Path
from tests.jobs.shop import Shop

async def main():
    s = Shop(Path(sys.argv[1]))
    if sys.argv[2] == "serve":
        await s.jobs.serve()
    await s.jobs.start("count", {"to": 2}, "uid:1")
    count = await s.held(s.count, to=5)
    s.count.gate.set()
    while count.job.id not in [j.id for j in s.store.newest(9) if j.checkpoint]:
        await asyncio.sleep(0)
    s.count.gate.clear()
    await s.held(s.once)
    await s.held(s.heavy)
    await s.jobs.start("heavy", {"to": 1}, "uid:1")
    print("ready", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def _killed(directory: Path, mode: str) -> None:
    arguments = [sys.executable, "-c", _KILLED, str(directory), mode]
    root = Path(__file__).parents[2]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)


async def test_after_a_kill_the_next_server_resumes_what_it_can_and_marks_the_rest(
    tmp_path: Path,
) -> None:
    _killed(tmp_path, "serve")
    with shop(tmp_path) as s:
        assert {j.kind: j.state for j in s.jobs.recover()} == {
            "count": JobState.QUEUED,
            "once": JobState.INTERRUPTED,
            "heavy": JobState.QUEUED,
        }
        await s.jobs.serve()
        kinds = {shown.job.id: shown.job.kind for shown in await s.jobs.newest()}
        for number, kind in kinds.items():
            await s.until(number, JobState.INTERRUPTED if kind == "once" else JobState.DONE)
        assert any(s.count.begun)  # the one with a checkpoint begins there; the other may be at 0
        assert s.once.begun == []
        assert s.heavy.most == 1
        (lost,) = (shown.job for shown in await s.jobs.newest() if shown.job.kind == "once")
        assert lost.code == "job_interrupted"
        ends = [(e["work"], e["state"]) for e in s.entries("job_end")]
        assert ("once", "interrupted") in ends
        assert ("heavy", "queued") in ends


async def test_after_a_kill_of_a_command_nothing_is_resumed_by_itself(tmp_path: Path) -> None:
    _killed(tmp_path, "command")
    with shop(tmp_path) as s:
        s.jobs.recover()
        await s.jobs.serve()
        states = {s_.job.kind: s_.job.state for s_ in await s.jobs.newest()}
        assert states["heavy"] is JobState.PAUSED
        assert states["once"] is JobState.INTERRUPTED
        assert s.count.begun == s.heavy.begun == []
