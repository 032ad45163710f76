"""Batches tended: taken up again, refused whole, told as starving."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import Unavailable
from tests.batches.site import line, site, wanted


async def test_one_whose_job_never_began_is_taken_up(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        asked = wanted(here.services, here.key, [line(0), line(1)])
        batch = here.services.batches.store.create(asked)
        await here.services.batches.adopt()
        assert (await here.ended(batch)).completed == 2
        await here.services.batches.adopt()
        assert len(here.inference.requests) == 2


async def test_one_that_cannot_begin_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path) as here:

        async def refused(*_: Any) -> None:
            raise Unavailable("shutting_down", "The server is stopping.")

        monkeypatch.setattr(here.services.jobs, "start", refused)
        with pytest.raises(Unavailable):
            await here.begun(1)
        assert here.services.batches.store.listed(here.key) == []


async def test_one_that_gets_no_answer_for_long_is_an_alarm(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.inference.hold = asyncio.Event()
        batch = await here.begun(3)
        await here.inference.starting.wait()
        since = here.clock.wall_us()
        here.clock.advance(2 * 600 - 1)
        assert here.services.batches.starving() == ()
        here.clock.advance(1)
        (told,) = here.services.batches.starving()
        assert (told.subject, told.since_us) == (batch.id, since)
        assert "0 of 3 answers" in told.message
        here.inference.hold.set()
        await here.ended(batch)
        assert here.services.batches.starving() == ()
