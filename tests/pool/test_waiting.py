"""Requests that wait for a model."""

import asyncio

import pytest

from appliance.admission.places import Place, Shares
from appliance.errors import Unavailable
from appliance.pool import waiting
from appliance.pool.waiting import Waiters
from appliance.types import Principal


def place(shares: Shares) -> Place:
    return shares.admit(Principal("k", "app"), "m", 1)


def enter(entered: Place) -> None:
    entered.enter()


async def test_all_who_wait_are_inside_at_the_instant_they_are_admitted() -> None:
    shares, waiters = Shares(10, 10), Waiters()
    assert not waiters
    tasks = [asyncio.create_task(waiters.wait(place(shares), 60)) for _ in range(3)]
    await asyncio.sleep(0)
    assert len(waiters) == 3 and waiters and waiters.since is not None
    waiters.admit(enter)
    assert shares.inside("m") == 3 and not waiters  # before any of them has run again
    await asyncio.gather(*tasks)


async def test_who_gave_up_is_not_admitted() -> None:
    shares, waiters = Shares(10, 10), Waiters()
    gone = asyncio.create_task(waiters.wait(place(shares), 60))
    stays = asyncio.create_task(waiters.wait(place(shares), 60))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    waiters.admit(enter)
    await stays
    assert shares.inside("m") == 1


async def test_it_ends_in_time_and_stays_wanted_for_a_while() -> None:
    shares, waiters = Shares(10, 10), Waiters()
    with pytest.raises(TimeoutError):
        await waiters.wait(place(shares), 0)
    assert len(waiters) == 0 and waiters
    end = waiters.forget(0.0)
    assert end is not None and waiters
    assert waiters.forget(end) is None and not waiters


async def test_a_model_is_wanted_as_long_as_a_request_waits() -> None:
    shares, waiters = Shares(10, 10), Waiters()
    task = asyncio.create_task(waiters.wait(place(shares), 60))
    await asyncio.sleep(0)
    assert waiters.since is not None
    assert waiters.forget(waiters.since + 2 * waiting.GRACE_S) is None and waiters
    waiters.reject(Unavailable("model_unavailable", "x"))
    with pytest.raises(Unavailable):
        await task


async def test_all_who_are_rejected_get_the_reason() -> None:
    shares, waiters = Shares(10, 10), Waiters()
    tasks = [asyncio.create_task(waiters.wait(place(shares), 60)) for _ in range(2)]
    await asyncio.sleep(0)
    waiters.reject(Unavailable("model_unavailable", "x"))
    waiters.reject(Unavailable("model_unavailable", "late"))
    for task in tasks:
        with pytest.raises(Unavailable, match="x"):
            await task
    assert shares.inside("m") == 0 and not waiters
