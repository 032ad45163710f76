"""A job under way: its reports for watchers, its stop, its end."""

import asyncio
import threading

import pytest

from appliance.errors import StateRefused, Unavailable
from appliance.jobs.kind import Stop
from appliance.jobs.live import REASONS, Live, WatcherSeen, explained
from appliance.jobs.store import StoredJob
from tests.jobs.shop import Count, Counted, Counting


def live() -> Live:
    job = StoredJob(7, "count", "", "uid:1", "{}")
    return Live(job, Counting(), Count(), resumed=False)


async def test_a_watcher_gets_the_newest_report_of_each_phase_once() -> None:
    one, seen, late = live(), WatcherSeen(), WatcherSeen()
    one.report("copying", 1, 3)
    one.report("copying", 2, 3)
    assert [(p.phase, p.done, p.unit) for p in one.news(seen)] == [("copying", 2, "steps")]
    assert one.news(seen) == []
    one.report("copying", 3, 3)
    one.report("hashing", 1, 9)
    assert [(p.phase, p.done) for p in one.news(seen)] == [("copying", 3), ("hashing", 1)]
    assert [(p.phase, p.done) for p in one.news(late)] == [("copying", 3), ("hashing", 1)]
    assert one.progress.phase == "hashing"


async def test_the_reports_that_are_kept_are_bounded() -> None:
    one, seen = live(), WatcherSeen()
    for number in range(1_000):
        one.report(f"phase {number}", 0, 0)
    kept = one.news(seen)
    assert len(kept) == 64
    assert kept[-1].phase == "phase 999"


async def test_reports_come_from_any_thread_while_a_watcher_reads() -> None:
    one, seen, over = live(), WatcherSeen(), threading.Event()

    def work() -> None:
        for number in range(3_000):
            one.report(f"phase {number // 100}", number, 3_000)
        over.set()

    thread = threading.Thread(target=work)
    thread.start()
    phases: list[str] = []
    while not over.is_set():
        phases += [p.phase for p in one.news(seen)]
        await asyncio.sleep(0)
    thread.join()
    phases += [p.phase for p in one.news(seen)]
    assert list(dict.fromkeys(phases)) == [f"phase {n}" for n in range(30)]


@pytest.mark.parametrize("why", REASONS)
async def test_work_that_is_to_stop_gets_the_reason_at_its_next_check(why: str) -> None:
    one = live()
    one.check()
    one.asked = why
    with pytest.raises(Stop) as caught:
        one.check()
    assert caught.value.code == REASONS[why][0]
    assert caught.value.message.startswith("Job 7 was ")


async def test_giving_up_waiting_leaves_the_job_alone() -> None:
    one = live()
    with pytest.raises(TimeoutError):
        await one.outcome(timeout=0.0)
    one.end(Counted(counted=1))
    one.end(Counted(counted=2))  # the first end holds
    assert await one.outcome() == Counted(counted=1)


async def test_an_error_that_nobody_awaits_is_no_warning() -> None:
    one = live()
    one.end(StateRefused("wrong_state", "No."))
    assert one.over


def test_an_error_as_a_job_keeps_it() -> None:
    known = Unavailable("shutting_down", "Stopping.")
    assert explained(known) is known
    told = explained(KeyError("a secret"))
    assert (told.code, told.message) == ("job_failed", "The work ended with KeyError.")
