"""One running answer with a real worker and a real log: what is handed out, and when."""

import asyncio
import os
import signal

import pytest

from appliance.app import Services
from appliance.errors import WorkerLost
from appliance.types import Delta
from tests.answers import Slow, body, collect
from tests.smol import caller, request, until


async def test_the_last_piece_comes_after_the_outcome_is_durable(ready: Services) -> None:
    generation = await ready.inference.begin(caller(), request())
    pieces: list[Delta] = []
    async for delta in generation:
        pieces.append(delta)
        if delta.finish_reason:
            assert generation.outcome is not None
            outcome = body(ready, generation.outcome.seq)
            assert (outcome["kind"], outcome["status"]) == ("outcome", "ok")
            assert outcome["intent"] == generation.intent.seq
            assert outcome["completion_tokens"] == 4
    assert [p.finish_reason for p in pieces[:-1]] == [None] * (len(pieces) - 1)
    assert pieces[-1].finish_reason == "length"
    await until(lambda: not ready.inference.running())


async def test_a_killed_worker_ends_the_answer_with_an_error_and_an_outcome(
    ready: Services,
) -> None:
    generation = await ready.inference.begin(caller(), request(max_tokens=400))
    with pytest.raises(WorkerLost):
        async for _ in generation:
            (status,) = ready.supervisor.status()
            if status.pid:
                os.kill(status.pid, signal.SIGKILL)
    assert generation.outcome is not None
    outcome = body(ready, generation.outcome.seq)
    assert (outcome["status"], outcome["finish"]) == ("error", "worker_lost")
    await until(lambda: ready.supervisor.status()[0].restarts == 1)
    await until(ready.supervisor.ready)
    assert (await collect(await ready.inference.begin(caller(), request())))[1] == "length"


async def test_a_cancelled_answer_has_an_outcome_and_frees_the_engine(ready: Services) -> None:
    generation = await ready.inference.begin(caller(), request(max_tokens=400))
    async for _ in generation:
        break
    await generation.cancel()
    await generation.cancel()
    await generation.finished()
    assert generation.outcome is not None
    outcome = body(ready, generation.outcome.seq)
    assert outcome["status"] == "cancelled"
    written = outcome["completion_tokens"]
    assert isinstance(written, int) and written < 400
    (status,) = ready.supervisor.status()
    assert (status.running, status.queued, status.kv_used) == (0, 0, 0)
    await generation.cancel()  # after its end it means nothing


async def test_the_last_piece_waits_for_a_slow_outcome(
    ready: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(ready, monkeypatch, "outcome")
    generation = await ready.inference.begin(caller(), request())
    pieces: list[Delta] = []

    async def read() -> None:
        async for delta in generation:
            pieces.append(delta)

    reading = asyncio.create_task(read())
    await slow.asked.wait()
    assert generation.completion_tokens == 4  # the engine is done
    assert all(p.finish_reason is None for p in pieces)
    slow.gate.set()
    await reading
    assert pieces[-1].finish_reason == "length"
