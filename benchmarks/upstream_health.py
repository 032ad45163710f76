"""A real engine under full load: no trip while it is itself, and the time to find other weights.

Six clients ask without a pause, beside a probe each five seconds. A relay swaps the weights.

usage: python -m benchmarks.upstream_health KIND MODEL URL OTHER_URL [MINUTES [TRIES]]
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from appliance.app import Services
from appliance.config import AuditConfig, Config, UpstreamConfig
from appliance.errors import ApplianceError
from appliance.types import Sampling
from tests.routing.upstreams.site import BIG, answer, caller, chat, entries, ready

CLIENTS: Final = 6
EACH_S: Final = 5
MOST: Final = 5
"""Probes within which other weights are found."""


class Relay:
    """Hands on bytes to the engine that answers now."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.url = ""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["Relay"]:
        server = await asyncio.start_server(self._joined, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        where = urlsplit(self.target)
        inside, outside = await asyncio.open_connection(where.hostname, where.port)
        await asyncio.gather(_pump(reader, outside), _pump(inside, writer))


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()
    sink.close()


@asynccontextmanager
async def load(services: Services, ended: Counter[str]) -> AsyncIterator[None]:
    """The clients; how their requests end is counted."""
    rng = random.Random(1)

    async def client(number: int) -> None:
        while True:
            text = f"Tell story {rng.randrange(10**6)} of {'many ' * rng.randint(1, 60)}words."
            asked = chat(text, max_tokens=rng.randint(8, 80), sampling=Sampling(temperature=0.8))
            try:
                await answer(services, caller(f"k{number}"), asked)
                ended["answered"] += 1
            except ApplianceError as error:
                ended[error.code] += 1
                await asyncio.sleep(0.1)

    clients = [asyncio.create_task(client(number)) for number in range(CLIENTS)]
    try:
        yield
    finally:
        for one in clients:
            one.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


async def itself(services: Services, minutes: float) -> dict[str, Any]:
    """Full load for so long; the appliance's beliefs about the engine meanwhile."""
    ended, states = Counter[str](), Counter[str]()
    (host,) = services.upstreams.get(BIG).hosts
    before = len(entries(services, "admin"))
    probing = asyncio.create_task(services.upstreams.run())
    end = time.monotonic() + 60 * minutes
    async with load(services, ended):
        while time.monotonic() < end:
            await asyncio.sleep(1)
            states[host.state] += 1
    probing.cancel()
    actions = Counter(str(entry["action"]) for entry in entries(services, "admin")[before:])
    found = {name: actions[name] for name in ("upstream_suspect", "upstream_tripped")}
    return {"minutes": minutes, "seconds in a state": states, "requests": ended, **found}


async def others(services: Services, relay: Relay, other: str, tries: int) -> list[int]:
    """Probes until other weights were found, each time; 0 where they were not."""
    upstream, good = services.upstreams.get(BIG), relay.target
    (host,) = upstream.hosts
    found = []
    for _ in range(tries):
        await services.upstreams.probe("uid:0", BIG)
        await services.upstreams.probe_host(upstream, host)
        relay.target, number = other, 0
        while host.state != "tripped" and number < MOST:
            number += 1
            await services.upstreams.probe_host(upstream, host)
        found.append(number if host.state == "tripped" else 0)
        relay.target = good
        _tell("probes", found[-1])
    await services.upstreams.probe("uid:0", BIG)
    return found


async def measured(kind: str, model: str, url: str, other: str, minutes: float, tries: int) -> None:
    """Everything, told line by line."""
    async with Relay(url).serve() as relay:
        upstream = UpstreamConfig(
            kind, (relay.url,), model, n_ctx=1024, slots=8, probe_seconds=EACH_S, connect_ms=5_000
        )
        settings = Config(audit=AuditConfig(ballast_mib=0), upstreams={BIG: upstream})
        with tempfile.TemporaryDirectory() as root:
            async with ready(Path(root) / "data", settings) as services:
                _tell("idle", await others(services, relay, other, tries))
                _tell("itself", await itself(services, minutes))
                async with load(services, Counter[str]()):
                    _tell("under load", await others(services, relay, other, tries))


def _tell(name: str, found: object) -> None:
    sys.stdout.write(json.dumps({name: found}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    kind, model, url, other, *more = sys.argv[1:]
    minutes = float(more[0]) if more else 15.0
    tries = int(more[1]) if len(more) > 1 else 20
    asyncio.run(measured(kind, model, url, other, minutes, tries))
