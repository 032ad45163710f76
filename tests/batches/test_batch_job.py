"""The job of a batch: expiry, a full disk, the end of the server, a fault of our own."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from appliance.batches.batch_job import BatchJob, BatchWanted
from appliance.batches.store import BatchStore
from appliance.errors import ApplianceError
from tests.batches.site import DAY_S, site


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
