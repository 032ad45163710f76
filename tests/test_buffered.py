"""`audit.stream = "buffered"`, and what the log keeps of one key's texts."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.app import Services, open_services
from appliance.audit.verification.verify import verify_log
from appliance.config import AuditConfig
from appliance.errors import AuditRefused, AuditUnavailable, WorkerLost
from appliance.serving.generation import Generation
from appliance.types import ContentMode, Delta
from tests.answers import Slow, body, collect
from tests.smol import SMALL, caller, request, sealed


@pytest.fixture
async def buffered(smol_data: Path) -> AsyncIterator[Services]:
    config = replace(SMALL, audit=AuditConfig(stream="buffered", reserve_mib=0))
    with open_services(smol_data, config=config) as services:
        await services.supervisor.start(sealed(services))
        yield services
        await services.supervisor.close()


async def _first(generation: Generation) -> Delta:
    return await anext(aiter(generation))


async def first_piece_before_the_outcome(services: Services, slow: Slow) -> bool:
    generation = await services.inference.begin(caller(), request(max_tokens=6))
    reading = asyncio.create_task(_first(generation))
    await slow.asked.wait()  # the outcome is on its way, and held
    left = reading.done() or not generation._out.empty()
    slow.gate.set()
    await reading
    await generation.finished()
    return left


async def test_nothing_leaves_before_the_outcome_is_durable(
    buffered: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not await first_piece_before_the_outcome(
        buffered, Slow(buffered, monkeypatch, "outcome")
    )
    generation = await buffered.inference.begin(caller(), request())
    text, finish = await collect(generation)
    assert "Paris" in text
    assert finish is not None


async def test_the_control_a_live_stream_begins_before(
    ready: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await first_piece_before_the_outcome(ready, Slow(ready, monkeypatch, "outcome"))


async def test_an_answer_whose_engine_died_gives_no_piece(buffered: Services) -> None:
    generation = await buffered.inference.begin(caller(), request(max_tokens=200))
    while generation.completion_tokens < 3:
        await asyncio.sleep(0)
    (worker,) = buffered.supervisor.status()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises((WorkerLost, AuditUnavailable)):
        async for _ in generation:
            raise AssertionError("a piece left")


@pytest.mark.parametrize("mode", ["encrypted", "commit-only", "off"])
async def test_a_key_decides_what_is_kept_of_its_texts(ready: Services, mode: ContentMode) -> None:
    who = caller(request_id=f"texts-{mode}")
    who = replace(who, principal=replace(who.principal, content=mode))
    generation = await ready.inference.begin(who, request())
    await collect(generation)
    assert generation.outcome is not None
    for seq, name in ((generation.intent.seq, "prompt"), (generation.outcome.seq, "completion")):
        kept = body(ready, seq)["content"]
        assert isinstance(kept, dict)
        assert kept["mode"] == mode
        assert (name in kept.get("parts", {})) == (mode != "off")
        if mode == "encrypted":
            assert b"France" in ready.reader.content(seq, name) or name == "completion"
        else:
            with pytest.raises(AuditRefused, match="not kept"):
                ready.reader.content(seq, name)
    assert verify_log(ready.data / "audit", first=generation.intent.seq).ok
