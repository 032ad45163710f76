"""A host that means harm, beside two apps that do not.

No request without an outcome, no byte of one app at the other, nothing large in the event loop.
"""

import asyncio
import itertools
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from appliance.app import Services, initialise, open_services
from appliance.config import AuditConfig, Config, UpstreamConfig
from appliance.errors import ApplianceError
from appliance.observability.unexpected import alarms
from appliance.routing.upstreams import events
from tests.conftest import CHECKOUT
from tests.evals.test_gate_simulation import told
from tests.ports import free_port
from tests.routing.upstreams.hostile import CANARY, MODES, Host
from tests.routing.upstreams.site import (
    BIG,
    CONNECT_MS,
    all_hops,
    answer,
    approve,
    caller,
    chat,
    entries,
    ready,
)

FAIR, ALICE, BOB = "fair", "alice", "bob"


def settings(hostile: Host, fair: Host) -> Config:
    usual = UpstreamConfig(
        "vllm", model="m", connect_ms=CONNECT_MS, idle_seconds=2, answer_seconds=20, answer_kib=8192
    )
    return Config(
        audit=AuditConfig(ballast_mib=0),
        upstreams={
            BIG: replace(usual, urls=(hostile.url,)),
            FAIR: replace(usual, urls=(fair.url,), idle_seconds=20),
        },
    )


class App:
    def __init__(self, services: Services, name: str) -> None:
        self._services, self._name, self._asked = services, name, 0

    async def ask(self, model: str) -> tuple[str, str]:
        """The sent canary, and the code of the end; "" for a whole answer."""
        self._asked += 1
        canary = f"canary-{self._name}-{self._asked}"
        who = replace(caller(self._name), request_id=f"req-{self._name}-{self._asked}")
        text, code = "", ""
        try:
            pieces = await answer(
                self._services, who, chat(f"Say {canary}", model=model, max_tokens=64)
            )
            text = "".join(piece.text for piece in pieces)
        except ApplianceError as error:
            code, text = error.code, error.message
        named = {found.decode() for found in CANARY.findall(text.encode())}
        assert named <= {canary}, f"an answer to {canary} names {named}"
        assert code or canary in text or "early" in text
        return canary, code


def test_there_are_modes_enough() -> None:
    assert len(MODES) >= 80


async def test_every_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    decode: Callable[[bytes, type[Any]], Any] = events.decode

    def noted(data: bytes, form: type[Any]) -> Any:
        if threading.current_thread() is threading.main_thread():
            sizes.append(len(data))
        return decode(data, form)

    monkeypatch.setattr(events, "decode", noted)
    ends: dict[str, str] = {}
    async with (
        Host().serve() as hostile,
        Host().serve() as fair,
        ready(tmp_path / "d", settings(hostile, fair)) as services,
    ):
        alice, bob = App(services, ALICE), App(services, BOB)
        await alice.ask(BIG)  # whose id is used again later
        (host,) = services.upstreams.get(BIG).hosts

        async def fit() -> None:
            """A probe of an honest host fails if this loop stands still for too long."""
            await services.upstreams.probe("uid:0", BIG)
            while host.state != "ready":
                await services.upstreams.probe("uid:0", BIG)

        for mode in MODES:
            await fit()
            hostile.mode = mode
            (_, ends[mode]), (_, beside) = await asyncio.gather(alice.ask(BIG), bob.ask(FAIR))
            hostile.mode = "honest"
            await fit()
            assert (beside, (await bob.ask(BIG))[1]) == ("", ""), mode
        assert alarms(services.metrics) == []
        check_log(services, 1 + 3 * len(MODES))
        assert max(one["prompt_tokens"] for one in entries(services, "outcome")) < 200
        doubted = [hop for hop in all_hops(services) if hop.get("counts") == "ours"]
        assert len(doubted) == 3
    wrong = {mode: end for mode, end in ends.items() if end not in MODES[mode][1]}
    assert wrong == {}
    assert max(sizes) <= 64 << 10


def check_log(services: Services, requests: int) -> None:
    intents, outcomes = entries(services, "intent"), entries(services, "outcome")
    assert len(intents) == len(outcomes) == requests
    assert {one["request_id"] for one in intents} == {one["request_id"] for one in outcomes}
    hops = all_hops(services)
    begun = [hop["request_id"] for hop in hops if hop["event"] == "sent"]
    assert sorted(begun) == sorted(hop["request_id"] for hop in hops if hop["event"] != "sent")


@dataclass
class Watched:
    """Observations of a server.

    Attributes:
        ends: count of ends, by upstream and code.
        slowest: most seconds of `/healthz`.
        resident: MiB of memory of the server, each second.
    """

    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    slowest: float = 0.0
    resident: list[int] = field(default_factory=list)


async def client(url: str, secret: str, name: str, end: float, seen: Watched) -> None:
    headers = {"authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as http:
        for number in itertools.count():
            if time.monotonic() > end:
                return
            model, canary = (BIG, FAIR)[number % 2], f"canary-{name}-{number}"
            body = {
                "model": model, "max_tokens": 64, "stream": number % 5 > 1,
                "messages": [{"role": "user", "content": f"Say {canary}"}],
            }  # fmt: skip
            text = ""
            async with http.stream("POST", "/v1/chat/completions", json=body) as reply:
                async for part in reply.aiter_text():
                    text += part
                    if number % 11 == 4:
                        break
            named = {found.decode() for found in CANARY.findall(text.encode())}
            assert named <= {canary}, f"an answer to {canary} names {named}"
            code = re.search(r'"code": ?"([a-z_]+)"', text)
            seen.ends[model, code[1] if code else ""] += 1
            if model == FAIR and number % 11 != 4:
                assert canary in text, text


async def watch(url: str, pid: int, end: float, seen: Watched) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        while time.monotonic() < end:
            begun = time.monotonic()
            assert (await http.get("/healthz")).status_code == 200
            seen.slowest = max(seen.slowest, time.monotonic() - begun)
            status = Path(f"/proc/{pid}/status").read_text()
            seen.resident.append(int(status.partition("VmRSS:")[2].split()[0]) >> 10)
            await asyncio.sleep(1)


@asynccontextmanager
async def process(*arguments: str | Path) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=CHECKOUT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield started
    finally:
        if started.returncode is None:
            started.terminate()
        await started.wait()


async def soak(root: Path, seconds: float) -> Watched:
    """Run a server beside a hostile host that takes one mode after the other."""
    data, port, seen = root / "data", free_port(), Watched()
    initialise(data, "lab")
    async with (
        process("-m", "tests.routing.upstreams.hostile") as hostile,
        Host().serve() as fair,
    ):
        assert hostile.stdout is not None
        far = Host(port=int(await hostile.stdout.readline()))
        with (data / "appliance.toml").open("w") as file:
            file.write(f"[server]\nport = {port}\n")
            for name, url in ((BIG, far.url), (FAIR, fair.url)):
                file.write(f'[upstreams.{name}]\nkind = "vllm"\nmodel = "m"\nurls = ["{url}"]\n')
                file.write(f"connect_ms = {CONNECT_MS}\n")
                file.write("idle_seconds = 2\nanswer_seconds = 20\nprobe_seconds = 1\n")
        with open_services(data) as services:
            for name in (BIG, FAIR):
                await services.upstreams.learn("uid:0", name)
                approve(services, name)
            secrets = [services.keys.create(name)[1] for name in (ALICE, BOB)]
        async with process("-m", "appliance", "serve", "--data", data) as server:
            url = f"http://127.0.0.1:{port}"
            await _until_ready(url)
            end = time.monotonic() + seconds
            async with asyncio.TaskGroup() as group:
                group.create_task(watch(url, server.pid, end, seen))
                for name, secret in zip((ALICE, BOB), secrets, strict=True):
                    group.create_task(client(url, secret, name, end, seen))
        with open_services(data) as services:
            check_log(services, len(entries(services, "intent")))
            assert "unknown" not in {one["status"] for one in entries(services, "outcome")}
            assert "internal_error" not in {one["finish"] for one in entries(services, "outcome")}
    return seen


async def _until_ready(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        while True:
            with suppress(httpx.TransportError):
                if (await http.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
async def test_ten_minutes_beside_two_honest_apps(tmp_path: Path) -> None:
    seen = await soak(tmp_path, 600)
    told(f"{sum(seen.ends.values())} requests, /healthz {seen.slowest:.3f} s at most: {seen.ends}")
    assert {code for model, code in seen.ends if model == BIG} >= {
        "", "upstream_busy", "upstream_incomplete", "upstream_invalid", "upstream_lost",
        "upstream_redirect", "upstream_timeout",
    }  # fmt: skip
    assert {code for model, code in seen.ends if model == FAIR} == {""}
    assert seen.slowest < 1.0
    minute = max(seen.resident[30:90])
    assert max(seen.resident[-60:]) < minute + 32
