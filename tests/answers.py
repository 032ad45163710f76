"""Shared by the tests of running answers: reading one, its records, a slow log."""

import asyncio
import concurrent.futures

import pytest

from appliance.app import Services
from appliance.audit.log import Draft
from appliance.audit.search import Query
from appliance.serving.generation import StartedAnswer
from appliance.types import Receipt


async def collect(generation: StartedAnswer) -> tuple[str, str | None]:
    text, finish = "", None
    async for delta in generation:
        text, finish = text + delta.text, delta.finish_reason
    return text, finish


def body(services: Services, seq: int) -> dict[str, object]:
    return dict(services.reader.entry(seq).body)


def outcome_of(services: Services, intent: int) -> dict[str, object] | None:
    for entry in services.reader.search(Query(kind="outcome", limit=1000)).entries:
        if entry.body["intent"] == intent:
            return dict(entry.body)
    return None


class Slow:
    """Holds back what becomes durable, to look into the moment between."""

    def __init__(self, services: Services, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
        self.gate, self.asked = asyncio.Event(), asyncio.Event()
        self.task: asyncio.Task[None]
        append = services.audit.append

        def held(*drafts: Draft) -> object:
            if drafts[0].kind != kind:
                return append(*drafts)
            outer: concurrent.futures.Future[tuple[Receipt, ...]] = concurrent.futures.Future()
            self.asked.set()

            async def later() -> None:
                await self.gate.wait()
                outer.set_result(await asyncio.wrap_future(append(*drafts)))

            self.task = asyncio.create_task(later())
            return outer

        monkeypatch.setattr(services.audit, "append", held)
