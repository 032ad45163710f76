"""An engine is killed under load: requests without a piece of an answer go elsewhere, once."""

import asyncio
import math
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

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


@dataclass
class Front:
    """A front of the same hosts, and the code of each request's end; "" for a whole answer."""

    name: str
    services: Services
    ended: dict[str, str] = field(default_factory=dict)

    async def under_load(self, label: str, count: int, words: str | None, **more: Any) -> None:
        """Ask; a whole answer is `words`, or any that says why it ends."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            who = replace(caller(), request_id=f"req-{self.name}-{label}-{number}")
            async with gate:
                try:
                    pieces = await answer(self.services, who, chat(f"question {number}", **more))
                    whole = words in (None, "".join(piece.text for piece in pieces))
                    self.ended[who.request_id] = "" if whole and pieces[-1].finish_reason else "cut"
                except ApplianceError as error:
                    self.ended[who.request_id] = error.code

        await asyncio.gather(*(one(number) for number in range(count)))

    def check(self, one: Process, two: Process) -> list[int]:
        """Returns, for each request that a second host took, the microseconds between the tries."""
        lasted, tries = [], self.tries({"upstream_lost"})
        executed = Counter(request for process in (one, two) for request in process.received())
        assert max(executed.values()) <= 2
        for request, (sent, ends) in tries.items():
            assert executed[request] <= len(sent) - ends.count("refused")
            if self.ended[request]:
                assert sent[-1]["host"] == one.url
            if len(sent) > 1:
                lasted.append(int(sent[1]["mono_us"]) - int(sent[0]["mono_us"]))
        return lasted

    def tries(self, codes: set[str]) -> dict[str, tuple[list[dict[str, Any]], list[str]]]:
        """The hops that were sent for each request, and how they ended.

        None is answered twice or without an outcome. A second one, of a request that was refused or
        of which no piece had come, says that it is.

        Args:
            codes: how requests may fail.
        """
        found: dict[str, tuple[list[dict[str, Any]], list[str]]]
        found = {request: ([], []) for request in self.ended}
        for hop in all_hops(self.services):
            sent, ends = found.get(hop["request_id"], ([], []))
            if hop["event"] == "sent":
                sent.append(hop)
            else:
                ends.append(hop["event"])
        for request, (sent, ends) in found.items():
            code = self.ended[request]
            assert not code or code in codes
            assert len(sent) == len(ends) == len({hop["host"] for hop in sent})
            assert [hop["hop"] for hop in sent] in ([1], [1, 2])
            assert ends[:-1] in ([], ["refused"], ["failed"])  # the latter: not a piece had come
            assert (ends[-1] == "answered") is not bool(code) and ends[-1] != "cancelled"
        for kind in ("intent", "outcome"):
            made = Counter(entry["request_id"] for entry in entries(self.services, kind))
            assert all(made[request] == 1 for request in found)
        return found


async def rounds(tmp_path: Path, kills: int, count: int, fronts: int = 1) -> list[int]:
    """Kill an engine under the load of some fronts, each with so many requests a kill."""
    async with processes(tmp_path) as (one, two), AsyncExitStack() as stack:
        wanted = config(one.url, two.url, slots=SLOTS)
        made = []
        for number in range(fronts):
            name = f"front{number}"
            services = await stack.enter_async_context(ready(tmp_path / name, wanted))
            made.append(Front(name, services))
        hosts = [front.services.upstreams.get(BIG).host(one.url) for front in made]
        others = [host for front in made for host in front.services.upstreams.get(BIG).hosts]
        probing = [asyncio.create_task(front.services.upstreams.run()) for front in made]
        await until(lambda: all(host.usable for host in others))

        async def kill(before: int) -> None:
            await until(lambda: sum(len(f.ended) for f in made) >= before + count * fronts // 4)
            await one.kill()

        for number in range(kills):
            before = sum(len(front.ended) for front in made)
            words = "".join(WORDS)
            asks = (front.under_load(str(number), count, words) for front in made)
            await asyncio.gather(kill(before), *asks)
            if count == REQUESTS:  # of fewer, all of a front may have gone to the other engine
                assert not any(host.usable for host in hosts)
            for front in made:
                assert len(front.ended) == count * (number + 1)
                lost = [
                    code for name, code in front.ended.items() if f"-{number}-" in name and code
                ]
                assert len(lost) <= SLOTS * 2
            await one.start()
            await until(lambda: all(host.usable for host in hosts))  # a probe takes it back
        for task in probing:
            task.cancel()
        return [lasted for front in made for lasted in front.check(one, two)]


async def test_an_engine_is_killed_under_load(tmp_path: Path) -> None:
    await rounds(tmp_path, 1, REQUESTS)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(("kills", "count", "fronts"), [(20, REQUESTS, 1), (500, 24, 2)])
async def test_an_engine_is_killed_many_times(
    tmp_path: Path, kills: int, count: int, fronts: int
) -> None:
    lasted = sorted(await rounds(tmp_path, kills, count, fronts))
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
