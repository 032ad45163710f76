"""The job of a batch: expiry, a full disk, the end of the server, a fault of our own."""

import asyncio
import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from appliance.batches import batch_job
from appliance.batches.batch_job import BatchJob, BatchWanted
from appliance.batches.incoming import FileLimits, IncomingFile
from appliance.batches.store import BatchStore, StoredBatch, WantedBatch
from appliance.errors import ApplianceError
from tests.batches.site import CHAT, DAY_S, Site, line, site
from tests.smol import until

MILLION = 1_000_000
HUGE = FileLimits(1 << 30, 1 << 30, MILLION, 4 << 20)


def full() -> OperationalError:
    return OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))


async def test_a_batch_that_expires_tells_it_of_each_line_that_is_left(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.inference.hold = asyncio.Event()
        batch = await here.begun(30)
        await here.inference.starting.wait()
        here.clock.advance(DAY_S)
        here.inference.hold.set()
        found = await here.ended(batch)
        assert found.status == "expired" and found.completed + found.failed == 30
        assert found.failed and set(here.codes(found)) == {"batch_expired"}


async def test_answers_are_held_while_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path) as here:
        keep, waits = BatchStore.keep, list[float]()

        def kept(self: BatchStore, *arguments: Any, **named: Any) -> None:
            if len(waits) < 20:
                raise full()
            keep(self, *arguments, **named)

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            await asyncio.sleep(0)

        monkeypatch.setattr(BatchStore, "keep", kept)
        monkeypatch.setattr(here.services.batches._parts, "sleep", sleep)
        found = await here.ended(await here.begun(25))
        assert (found.status, found.completed) == ("completed", 25)
        assert len(here.inference.requests) == 25, "nothing is asked twice"


async def test_the_next_server_goes_on_where_one_ended(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.services.jobs._runner.served = True
        here.inference.hold = asyncio.Event()
        batch = await here.begun(20)
        await here.inference.starting.wait()
        live = here.services.jobs.live(here.services.batches.store.get(batch.id).job or 0)
        assert live is not None
        closing = asyncio.create_task(here.services.jobs.end([live]))
        await asyncio.wait({closing})
        assert here.services.batches.store.get(batch.id).status == "in_progress"
        here.inference.hold.set()
        here.inference.hold = None
        await here.services.jobs.serve()
        found = await here.ended(batch)
        assert (found.status, found.completed) == ("completed", 20)


async def test_a_server_that_ends_while_the_end_is_told_tells_the_rest_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path) as here:
        here.services.jobs._runner.served = True
        loop, reached, release = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
        keep, told = BatchStore.keep_unanswered, list[int]()

        def kept(self: BatchStore, batch: StoredBatch, lines: Sequence[tuple[int, bytes]]) -> None:
            keep(self, batch, lines)
            told.append(len(lines))
            loop.call_soon_threadsafe(reached.set)
            release.wait()

        monkeypatch.setattr(BatchStore, "keep_unanswered", kept)
        monkeypatch.setattr(batch_job, "_TOLD_AT_ONCE", 4)
        here.inference.hold = asyncio.Event()
        batch = await here.begun(60)
        await here.inference.starting.wait()
        here.clock.advance(DAY_S)
        here.inference.hold.set()
        await reached.wait()
        live = here.services.jobs.live(here.services.batches.store.get(batch.id).job or 0)
        assert live is not None
        await here.services.jobs.end([live])
        assert told == [4]
        release.set()
        await here.services.jobs.serve()
        found = await here.ended(batch)
        assert (found.status, found.completed + found.failed) == ("expired", 60)
        numbers = [*here.services.batches.files.numbers(found.errors)]
        assert len(numbers) == len(set(numbers)) == found.failed


async def test_a_fault_of_our_own_ends_it_and_is_tried_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path) as here:

        def broken(*_: Any) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr(BatchStore, "begin", broken)
        with pytest.raises((ApplianceError, RuntimeError)):
            await here.ended(await here.begun(2))
        await here.services.batches.adopt()
        (batch,) = here.services.batches.store.listed(here.key)
        assert (batch.status, batch.problems[0].code) == ("failed", "job_failed")


def test_equal_batches_are_one_job() -> None:
    wanted = BatchWanted("batch_1", "key", "/v1/embeddings")
    job = BatchJob.__new__(BatchJob)
    assert job.key(wanted) == "batch_1" and job.wanted(wanted)
    assert job.title(wanted) == "batch_1 (/v1/embeddings) of key key"


def million(here: Site) -> str:
    """A file of a million lines, as it comes in."""
    made = IncomingFile(here.services.batches.files, HUGE, here.key, here.clock.wall_us() * 2)
    made.begin("million.jsonl")
    body = json.dumps(line(0)["body"]).encode()
    form = b'{"custom_id":"%d","method":"POST","url":"/v1/chat/completions","body":' + body + b"}\n"
    for first in range(0, MILLION, 4_000):
        made.take(b"".join(form % n for n in range(first, first + 4_000)))
    return made.finish().id


def most_kib() -> int:
    """The most that this process held since the last look."""
    held = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    Path("/proc/self/clear_refs").write_text("5")
    return int(held)


@pytest.mark.slow
@pytest.mark.timeout(0)
async def test_a_million_lines_are_taken_checked_and_each_told_once_in_little_memory(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as here:
        store, files = here.services.batches.store, here.services.batches.files
        most_kib()
        before = most_kib()
        name = await asyncio.to_thread(million, here)
        taken = most_kib()
        asked = WantedBatch(here.key, CHAT, name, 24, DAY_S, None)
        batch = await here.services.batches.create(asked)
        await until(lambda: store.get(batch.id).completed > 500, seconds=1e6)
        running = most_kib()
        await here.services.batches.cancel(batch.id, here.key)
        await until(lambda: not store.get(batch.id).live, seconds=1e6)
        told = most_kib()
        found = store.get(batch.id)
        assert (found.status, found.completed + found.failed) == ("cancelled", MILLION)
        numbers = Counter(n for one in (found.output, found.errors) for n in files.numbers(one))
        assert numbers == Counter(range(MILLION))
        assert max(taken, running, told) < before + (200 << 10), (before, taken, running, told)
