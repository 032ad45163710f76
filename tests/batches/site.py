"""A data directory with the scripted engine and a clock, and batches made beside the routes."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.api.app import create_lan_app
from appliance.app import Services, initialise, open_services
from appliance.batches.files import INPUT
from appliance.batches.store import StoredBatch, WantedBatch
from appliance.clock import FixedClock
from tests.api.fake import CARD, FakeInference, with_fakes

CHAT, DAY_S = "/v1/chat/completions", 86_400


def line(number: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Hi {number}"}]
    body = {"model": CARD.id, "messages": messages}
    return {"custom_id": f"line {number}", "method": "POST", "url": CHAT, "body": body}


def wanted(services: Services, key_id: str, lines: Sequence[dict[str, Any]]) -> WantedBatch:
    files, until = services.batches.files, services.clock.wall_us() + 9 * DAY_S * 1_000_000
    file = files.begin(key_id, INPUT, "lines.jsonl", until)
    files.append(file, 0, "".join(json.dumps(one) + "\n" for one in lines).encode(), len(lines))
    files.finish(file)
    return WantedBatch(key_id, CHAT, file, 24, DAY_S, None)


@dataclass
class Site:
    """`real` has no double but what the routes were made with."""

    real: Services
    services: Services
    inference: FakeInference
    clock: FixedClock
    key: str

    async def begun(self, count: int) -> StoredBatch:
        lines = [line(n) for n in range(count)]
        return await self.services.batches.create(wanted(self.services, self.key, lines))

    async def ended(self, batch: StoredBatch) -> StoredBatch:
        job = self.services.batches.store.get(batch.id).job
        live = self.services.jobs.live(job or 0)
        if live is not None:
            await live.outcome()
        return self.services.batches.store.get(batch.id)

    def codes(self, batch: StoredBatch) -> list[str]:
        parts = self.services.batches.files.parts(batch.errors) if batch.errors else ()
        return [json.loads(part.text)["error"]["code"] for part in parts]


@asynccontextmanager
async def site(directory: Path) -> AsyncIterator[Site]:
    clock = FixedClock()
    initialise(directory / "data", "lab", clock)
    with open_services(directory / "data", clock=clock) as real:
        inference = FakeInference(real.audit)
        services = with_fakes(real, inference)
        create_lan_app(services)
        key, _ = services.keys.create("night")
        yield Site(real, services, inference, clock, key.id)
        await services.jobs.close()
