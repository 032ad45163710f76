"""An engine whose log-probabilities move with company: load takes nothing out, other weights do.

It is simulated: beside answers each value moves by 0.07 to 0.19, a perturbed layer by 0.07 to 0.14.
Clocks are the test's own; a probe comes each five seconds of it.
"""

import asyncio
import contextlib
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance.app import Services
from appliance.errors import ApplianceError
from appliance.routing.upstreams.health import ProbeVerdict
from appliance.routing.upstreams.hosts import ConfiguredUpstream, UpstreamPeer
from tests.routing.upstreams.engine import WORDS, Engine
from tests.routing.upstreams.site import (
    BIG,
    answer,
    caller,
    chat,
    config,
    entries,
    ready,
    until,
)
from tests.routing.upstreams.test_health import Clock

CLIENTS, PROBES, EACH_S = 6, 180, 5
TRIES = 8
KIND = {"kind": "openai", "probe_seconds": EACH_S, "connect_ms": 20_000, "idle_seconds": 60}


class Watch:
    def __init__(self, services: Services) -> None:
        self.services, self.clock = services, Clock()
        self.upstream: ConfiguredUpstream = services.upstreams.get(BIG)
        self.host: UpstreamPeer = self.upstream.hosts[0]
        self.clock.now = math.ceil(self.host.health._now())  # sums of whole numbers are exact
        self.host.health._now = self.clock
        self.quiet = 0

    async def look(self) -> None:
        self.clock.now += EACH_S
        assert self.upstream.due(self.host)
        self.quiet += self.host.health.wants_quiet
        await self.services.upstreams.probe_host(self.upstream, self.host)

    async def tripped(self, most: int) -> int:
        """Number of probes until it trips; `most` + 1 for more."""
        for number in range(1, most + 1):
            await self.look()
            if self.host.state == "tripped":
                return number
        return most + 1

    async def again(self) -> None:
        await self.services.upstreams.probe("uid:0", BIG)
        assert self.host.state == "ready"


@asynccontextmanager
async def load(services: Services, engine: Engine) -> AsyncIterator[list[str]]:
    answers: list[str] = []

    async def client(number: int) -> None:
        while True:
            try:
                pieces = await answer(services, caller(f"k{number}"), chat())
                answers.append("".join(piece.text for piece in pieces))
            except ApplianceError:  # while it is tripped
                await asyncio.sleep(0.01)

    clients = [asyncio.create_task(client(number)) for number in range(CLIENTS)]
    await until(lambda: engine.running > 1)
    try:
        yield answers
    finally:
        for one in clients:
            one.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


def noisy(seed: int = 1) -> Engine:
    return Engine(noise=random.Random(seed), delay=0.01, words=WORDS * 20)


async def test_fifteen_minutes_of_full_load_trip_nothing(tmp_path: Path) -> None:
    async with (
        noisy().serve() as engine,
        ready(tmp_path / "d", config(engine.url, **KIND)) as services,
    ):
        watch, differed, compare = Watch(services), 0, services.upstreams.get(BIG)._found

        async def counted(host: UpstreamPeer, known: object) -> object:
            nonlocal differed
            found = await compare(host, known)  # type: ignore[arg-type]
            differed += found.verdict is ProbeVerdict.OTHER
            return found

        watch.upstream._found = counted  # type: ignore[assignment, method-assign]
        async with load(services, engine) as answers:
            for _ in range(PROBES):
                await watch.look()
                assert watch.host.state == "ready"
        assert differed > PROBES // 2  # the control: a probe that trips by one difference trips
        assert watch.quiet <= PROBES // 10  # requests were held back as seldom as that
        assert len(answers) > CLIENTS
        actions = {entry["action"] for entry in entries(services, "admin")}
        assert not actions & {"upstream_suspect", "upstream_tripped"}


@pytest.mark.parametrize("busy", [False, True])
async def test_a_perturbed_layer_is_found_within_five_probes(tmp_path: Path, *, busy: bool) -> None:
    rng, tries = random.Random(2), list[int]()
    async with (
        noisy().serve() as engine,
        ready(tmp_path / "d", config(engine.url, **KIND)) as services,
        contextlib.AsyncExitStack() as stack,
    ):
        watch = Watch(services)
        if busy:
            await stack.enter_async_context(load(services, engine))
        for _ in range(TRIES):
            for _ in range(rng.randint(3, 12)):
                await watch.look()
                assert watch.host.state == "ready"
            engine.weights = rng.uniform(0.07, 0.14)
            tries.append(await watch.tripped(5))
            engine.weights = 0.0
            await watch.again()
        made = [e["action"] for e in entries(services, "admin") if "host" in e]
    assert max(tries) <= 5 and len(tries) == TRIES
    assert made.count("upstream_suspect") == made.count("upstream_tripped") == TRIES
