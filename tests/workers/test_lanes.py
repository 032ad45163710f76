"""Lanes: one at a time in each, apps in turn; the rest is seen in test_process.py."""

import asyncio

import pytest

from appliance.engine.protocol import SMALL
from appliance.workers.lanes import Lane, Lanes


async def test_apps_take_turns_whatever_one_of_them_asks() -> None:
    lane, order = Lane(), []

    async def one(key: str) -> None:
        await lane.turn(key)
        order.append(key)
        await asyncio.sleep(0)
        lane.leave()

    await asyncio.gather(*(one(key) for key in "aaaabaaac"))
    assert "".join(order) == "aabcaaaaa"


async def test_a_turn_that_comes_to_one_who_has_gone_goes_on() -> None:
    lane = Lane()
    await lane.turn("a")
    gone, next_ = (asyncio.create_task(lane.turn(key)) for key in "bc")
    await asyncio.sleep(0)
    lane.leave()  # it is b's turn now, but its client leaves before it runs
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await next_


async def test_a_small_request_passes_a_large_one_and_leaving_twice_is_once() -> None:
    lanes = Lanes()
    await lanes.enter(1, "a", SMALL + 1)
    await lanes.enter(2, "a", SMALL)
    waits = asyncio.create_task(lanes.enter(3, "b", SMALL + 1))
    await asyncio.sleep(0)
    lanes.leave(2)
    lanes.leave(2)
    await asyncio.sleep(0)
    assert not waits.done()
    lanes.leave(1)
    await waits
