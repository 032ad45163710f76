"""Requests that wait for a model."""

import asyncio

import pytest

from appliance.admission.places import Place, Shares
from appliance.errors import Unavailable
from appliance.pool import waiting as waits
from appliance.pool.waiting import Waits
from appliance.types import Principal


def place(shares: Shares) -> Place:
    return shares.admit(Principal("k", "app"), "m", 1)


def enter(_model: str, entered: Place) -> None:
    entered.enter()


async def test_all_who_wait_are_inside_at_the_instant_they_are_let_in() -> None:
    shares, waiting = Shares(10, 10), Waits()
    tasks = [asyncio.create_task(waiting.wait("m", place(shares), 60)) for _ in range(3)]
    await asyncio.sleep(0)
    assert waiting.count("m") == 3 and "m" in waiting
    waiting.admit("m", enter)
    assert shares.inside("m") == 3 and "m" not in waiting  # before any of them has run again
    await asyncio.gather(*tasks)


async def test_who_gave_up_is_not_let_in() -> None:
    shares, waiting = Shares(10, 10), Waits()
    gone = asyncio.create_task(waiting.wait("m", place(shares), 60))
    stays = asyncio.create_task(waiting.wait("m", place(shares), 60))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    waiting.admit("m", enter)
    await stays
    assert shares.inside("m") == 1


async def test_it_ends_in_time_and_stays_wanted_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shares, waiting = Shares(10, 10), Waits()
    with pytest.raises(TimeoutError):
        await waiting.wait("m", place(shares), 0)
    assert waiting.count("m") == 0 and "m" in waiting
    assert waiting.forget() is not None and "m" in waiting
    monkeypatch.setattr(waits, "GRACE_S", 0.0)
    assert waiting.forget() is None and "m" not in waiting


async def test_who_is_sent_away_is_told_why_and_the_longest_wanted_come_first() -> None:
    shares, waiting = Shares(10, 10), Waits()
    first = asyncio.create_task(waiting.wait("z", place(shares), 60))
    await asyncio.sleep(0)
    second = asyncio.create_task(waiting.wait("a", place(shares), 60))
    await asyncio.sleep(0)
    assert [model for model, _ in waiting] == ["z", "a"]
    for model in ("z", "a"):
        waiting.send_away(model, Unavailable("model_unavailable", model))
    waiting.send_away("nobody", Unavailable("model_unavailable", "x"))
    for task in (first, second):
        with pytest.raises(Unavailable):
            await task
    assert shares.inside("m") == 0
