"""Background answers: bounded, looked after, ended."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.errors import Overloaded
from appliance.serving.background import MOST_OF_A_KEY, BackgroundAnswers
from appliance.types import Delta


class Waiting(SimpleNamespace):
    def __init__(self) -> None:
        super().__init__(gone=asyncio.Event())

    async def __aiter__(self) -> AsyncIterator[Delta]:
        yield Delta("a", 1)
        await self.gone.wait()

    async def cancel(self) -> None:
        self.gone.set()


async def read(pieces: AsyncIterator[Delta]) -> None:
    async for _ in pieces:
        pass


async def broken(pieces: AsyncIterator[Delta]) -> None:
    raise RuntimeError("a fault")


async def test_an_answer_is_there_until_it_ended() -> None:
    found, answer = BackgroundAnswers(), Waiting()
    generation: Any = answer
    found.start("here", "k", generation, read)
    running = found.at("here")
    assert running is not None
    while not running.begun:
        await asyncio.sleep(0)
    await found.cancel("here")
    await found.cancel("here")  # nothing more happens
    assert found.at("here") is None and answer.gone.is_set()
    await found.ended()


async def test_work_that_breaks_leaves_nothing_behind() -> None:
    found, answer = BackgroundAnswers(), Waiting()
    generation: Any = answer
    found.start("here", "k", generation, broken)
    await found.ended()
    assert found.at("here") is None and answer.gone.is_set()


async def test_a_key_has_a_bounded_number() -> None:
    found = BackgroundAnswers()
    for number in range(MOST_OF_A_KEY):
        found.check_room("k")
        generation: Any = Waiting()
        found.start(str(number), "k", generation, read)
    with pytest.raises(Overloaded) as refused:
        found.check_room("k")
    assert refused.value.code == "queue_full"
    found.check_room("another")
    for number in range(MOST_OF_A_KEY):
        await found.cancel(str(number))
    found.check_room("k")
    await found.ended()
