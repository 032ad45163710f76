"""An engine is killed under load: requests without a piece of an answer go elsewhere, once."""

import asyncio
import math
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.app import Services
from appliance.errors import ApplianceError
from tests.conftest import CHECKOUT
from tests.evals.test_gate_simulation import told
from tests.routing.upstreams.engine import WORDS, Engine
from tests.routing.upstreams.site import (
    BIG,
    all_hops,
    answer,
    caller,
    chat,
    config,
    entries,
    ready,
    until,
)

REQUESTS, AT_ONCE, SLOTS = 200, 24, 8


class Process:
    def __init__(self, log: Path) -> None:
        self.log, self.port = log, 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.routing.upstreams.engine", str(self.port), self.log,
            stdout=asyncio.subprocess.PIPE, cwd=CHECKOUT,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.port = int(await self._process.stdout.readline())

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            os.kill(self._process.pid, signal.SIGKILL)
            await self._process.wait()

    def received(self) -> list[str]:
        lines = self.log.read_text().split() if self.log.exists() else []
        return [line.rpartition("-")[0] for line in lines if line.startswith("req-")]


@asynccontextmanager
async def processes(root: Path) -> AsyncIterator[tuple[Process, Process]]:
    made = Process(root / "one.log"), Process(root / "two.log")
    try:
        for one in made:
            await one.start()
        yield made
    finally:
        for one in made:
            await one.kill()


async def under_load(services: Services, victim: Process, label: str) -> dict[str, str]:
    """Code of each request's end while the victim is killed; "" for a whole answer."""
    gate, ended = asyncio.Semaphore(AT_ONCE), dict[str, str]()

    async def one(number: int) -> None:
        who = replace(caller(), request_id=f"req-{label}-{number}")
        async with gate:
            try:
                pieces = await answer(services, who, chat(f"question {number}"))
                whole = "".join(piece.text for piece in pieces) == "".join(WORDS)
                ended[who.request_id] = "" if whole else "cut"
            except ApplianceError as error:
                ended[who.request_id] = error.code

    async def kill() -> None:
        await until(lambda: len(ended) >= REQUESTS // 4)
        await victim.kill()

    await asyncio.gather(kill(), *(one(number) for number in range(REQUESTS)))
    return ended


def check(services: Services, ended: dict[str, str], one: Process, two: Process) -> list[int]:
    """Returns, for each request that a second host took, the microseconds between the tries."""
    lasted = []
    assert len(ended) == REQUESTS
    executed = Counter(request for process in (one, two) for request in process.received())
    assert max(executed.values()) <= 2
    lost = {request for request, code in ended.items() if code}
    assert {ended[request] for request in lost} <= {"upstream_lost"}
    assert len(lost) <= SLOTS * 2
    mine = [hop for hop in all_hops(services) if hop["request_id"] in ended]
    for request in ended:
        hops = [hop for hop in mine if hop["request_id"] == request]
        sent = [hop["host"] for hop in hops if hop["event"] == "sent"]
        ends = [hop["event"] for hop in hops if hop["event"] != "sent"]
        assert len(sent) == len(ends) == len(set(sent))
        assert ends[:-1] in ([], ["refused"], ["failed"])  # the latter: not a piece had come
        assert executed[request] <= len(sent) - ends.count("refused")
        assert ends[-1] == ("failed" if request in lost else "answered")
        if request in lost:
            assert sent[-1] == one.url
        tries = [int(hop["mono_us"]) for hop in hops if hop["event"] == "sent"]
        lasted += [tries[1] - tries[0]] if len(tries) > 1 else []
    for kind in ("intent", "outcome"):
        made = Counter(entry["request_id"] for entry in entries(services, kind))
        assert all(made[request] == 1 for request in ended)
    return lasted


async def rounds(tmp_path: Path, count: int) -> list[int]:
    lasted: list[int] = []
    async with processes(tmp_path) as (one, two):
        wanted = config(one.url, two.url, slots=SLOTS)
        async with ready(tmp_path / "d", wanted) as services:
            host = services.upstreams.get(BIG).host(one.url)
            probing = asyncio.create_task(services.upstreams.run())
            hosts = services.upstreams.get(BIG).hosts
            await until(lambda: all(host.usable for host in hosts))
            for number in range(count):
                ended = await under_load(services, one, str(number))
                lasted += check(services, ended, one, two)
                assert not host.usable
                await one.start()
                await until(lambda: host.usable)  # a probe takes it back
            probing.cancel()
    return lasted


async def test_an_engine_is_killed_under_load(tmp_path: Path) -> None:
    await rounds(tmp_path, 1)


@pytest.mark.slow
async def test_an_engine_is_killed_twenty_times(tmp_path: Path) -> None:
    lasted = sorted(await rounds(tmp_path, 20))
    assert lasted, "no request met a host that was away"
    p50, p99 = (lasted[math.ceil(share * len(lasted)) - 1] / 1e3 for share in (0.5, 0.99))
    told(f"failover of {len(lasted)} requests: p50 {p50:.1f} ms, p99 {p99:.1f} ms")


async def test_what_begins_alike_goes_to_one_host(tmp_path: Path) -> None:
    async with (
        Engine().serve() as one,
        Engine().serve() as two,
        ready(tmp_path / "d", config(one.url, two.url)) as services,
    ):
        for _ in range(8):
            await answer(services, caller(), chat())
        assert sorted((len(one.streams), len(two.streams))) == [0, 8]
        for number in range(16):
            await answer(services, caller(), chat(f"question {number}"))
        assert min(len(one.streams), len(two.streams)) > 0
