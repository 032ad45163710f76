"""Heavy jobs and models share one budget: idle models make room, busy ones are left alone."""

import asyncio
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from appliance.errors import StateRefused
from appliance.jobs.kind import Context, JobKind
from appliance.wire.admin.base import Verbatim
from tests.pool.test_pool import ACTOR, answered, loaded, opened, three
from tests.several import config
from tests.smol import until

__all__ = ["three"]


class Meal(msgspec.Struct):
    bytes: int


class Hungry(JobKind[Meal, Verbatim]):
    name: ClassVar[str] = "hungry"
    form = Meal
    heavy: ClassVar[bool] = True

    def __init__(self) -> None:
        self.go = asyncio.Event()

    def needs(self, params: Meal) -> int:
        return params.bytes

    async def run(self, job: Context[Meal]) -> Verbatim:
        job.report("holding", 0, 0)
        await self.go.wait()
        return Verbatim()


async def test_idle_models_make_room_and_come_back(three: Path) -> None:
    async with opened(three, config()) as services:
        hungry, budget = Hungry(), services.supervisor.budget
        services.jobs.add(hungry)
        await services.pool.load(ACTOR, "one")
        wanted = budget.total - budget.taken + 1  # one byte more than what is free
        live = await services.jobs.start("hungry", {"bytes": wanted}, ACTOR)
        await until(lambda: bool(live.progress.phase))
        assert loaded(services) == set()
        assert budget.held == wanted
        assert services.pool.model("one").unloaded == f"to make room for job {live.job.id}"
        hungry.go.set()
        await live.outcome()
        assert budget.held == 0
        assert await answered(services, "one")


async def test_what_no_eviction_can_make_room_for_is_refused_and_evicts_nothing(
    three: Path,
) -> None:
    async with opened(three, config()) as services:
        services.jobs.add(Hungry())
        await services.pool.load(ACTOR, "one")
        live = await services.jobs.start("hungry", {"bytes": services.pool.budget.total + 1}, ACTOR)
        with pytest.raises(StateRefused) as caught:
            await live.outcome()
        assert caught.value.code == "insufficient_memory"
        assert loaded(services) == {"one"}
