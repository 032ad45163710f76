"""A long mixed load, with clients that leave and a worker that is killed, leaves nothing behind."""

import asyncio
import contextlib
import os
import random
import re
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.smol import ID
from tests.system.conftest import Server, serving

CONFIG = """
[engine]
threads = 1
max_queued = 4000
[models.default]
n_ctx = 2048
slots = 8
"""
DATABASE = re.compile(r"\.db(-wal|-shm)?$")  # connections are opened as needed, and kept
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "state": {"enum": ["dry", "wet"]}},
    "required": ["ok", "state"],
    "additionalProperties": False,
}


def body(choose: random.Random, number: int) -> dict[str, Any]:
    shared = "The pump is inspected every week. " * choose.choice([0, 0, 5, 20])
    wanted: dict[str, Any] = {
        "model": ID,
        "prompt": f"{shared}Report {number % 50}: {choose.random()}",
        "max_tokens": choose.choice([1, 2, 4, 8]),
        "temperature": choose.choice([0, 0.8]),
        "stream": choose.random() < 0.7,
    }
    kind = choose.random()
    if kind < 0.15:
        wanted |= {"json_schema": SCHEMA, "max_tokens": 40}
    elif kind < 0.25:
        wanted |= {"n": 2}
    elif kind < 0.3:
        wanted |= {"logprobs": 2, "echo": True}
    elif kind < 0.35:
        wanted |= {"temperature": 99}  # refused
    elif kind < 0.4:
        wanted |= {"prompt": "x " * 4000}  # does not fit
    return wanted


async def one(client: httpx.AsyncClient, choose: random.Random, number: int) -> str:
    leaves = choose.random() < 0.15
    wanted = body(choose, number)
    while (became := await attempt(client, wanted, leaves=leaves)) == "503":
        await asyncio.sleep(0.2)  # the worker starts again; the answer says to retry
    return became


async def attempt(client: httpx.AsyncClient, wanted: dict[str, Any], *, leaves: bool) -> str:
    async with client.stream("POST", "/completions", json=wanted) as response:
        if leaves:
            async for _ in response.aiter_raw():
                return "left"
        text = (await response.aread()).decode()
    if response.status_code == 200 and '"error"' in text:
        return "error event"
    return str(response.status_code)


async def load(server: Server, count: int, seed: int) -> Counter[str]:
    choose = random.Random(seed)
    gate = asyncio.Semaphore(24)
    keys = [{"authorization": f"Bearer {secret}"} for secret in server.secrets]
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(base_url=server.base_url, timeout=280, limits=limits) as client:

        async def gated(number: int) -> str:
            async with gate:
                client.headers.update(keys[number % 2])
                return await one(client, random.Random(choose.random()), number)

        return Counter(await asyncio.gather(*(gated(i) for i in range(count))))


def resident_kib(pid: int) -> int:
    fields = Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0])


def descriptors(pid: int) -> Counter[str]:
    """What is open, by name, with sockets and pipes as one name each.

    Root alone sees those of a process that leaves no dump.
    """
    try:
        entries = list(Path(f"/proc/{pid}/fd").iterdir())
    except PermissionError:
        pytest.skip("only root sees the descriptors of the server")
    names: Counter[str] = Counter()
    for entry in entries:
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            names[str(entry.readlink()).split(":[")[0]] += 1
    return names


async def rest(server: Server) -> None:
    """Wait until nothing runs any more, with a worker that is there."""
    async with asyncio.timeout(120):
        while not await asyncio.to_thread(server.idle) or server.worker()["pid"] is None:
            pass


async def soak(server: Server, rounds: int, each: int) -> Counter[str]:
    await load(server, 60, 0)
    await rest(server)
    before = descriptors(server.process.pid)
    seen: Counter[str] = Counter()
    sizes: list[tuple[int, int]] = []
    for number in range(rounds):
        if number == 1:  # in mid-load
            running = asyncio.create_task(load(server, each, number + 1))
            await asyncio.sleep(1)  # not awaited: any moment is a good one to be killed
            os.kill(server.worker()["pid"], signal.SIGKILL)
            seen += await running
        else:
            seen += await load(server, each, number + 1)
        await rest(server)
        sizes.append((resident_kib(server.process.pid), resident_kib(server.worker()["pid"])))
    end = time.monotonic() + 60  # kept-alive connections close
    while left := [
        name for name in descriptors(server.process.pid) - before if not DATABASE.search(name)
    ]:
        assert time.monotonic() < end, left
        await asyncio.to_thread(server.idle)
    if (
        rounds > 3
    ):  # after the second round everything has grown to its size; a short run says nothing
        for first, last in zip(sizes[2], sizes[-1], strict=True):
            assert last <= first * 1.05 + 4096, sizes
    return seen


def check(server: Server, rounds: int, each: int) -> None:
    seen = asyncio.run(soak(server, rounds, each))
    assert sum(seen.values()) == rounds * each
    assert set(seen) <= {"200", "400", "left", "error event"}, seen
    assert seen["200"] > rounds * each / 2
    report = server.command("audit", "verify")
    assert report["ok"], report["problems"]


@pytest.mark.slow
def test_a_short_soak_leaves_nothing_behind(tmp_path: Path, default_model_path: Path) -> None:
    with serving(tmp_path, default_model_path, CONFIG) as server:
        check(server, 2, 30)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_two_thousand_requests_leave_nothing_behind(
    tmp_path: Path, default_model_path: Path
) -> None:
    with serving(tmp_path, default_model_path, CONFIG) as server:
        check(server, 8, 250)
