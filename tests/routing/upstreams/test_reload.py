"""Upstreams are read again while the server runs: hosts come, go, and keep what is known."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from appliance.api.admin.facts import gathered
from appliance.app import Services, initialise, open_services
from appliance.client import AdminClient, socket_path
from appliance.config import AuditConfig, Config
from appliance.errors import ApplianceError
from appliance.incidents.rules import alarms
from appliance.wire.admin.upstreams import UPSTREAMS, UPSTREAMS_RELOAD
from tests.ports import free_port
from tests.routing.upstreams.engine import WORDS, Engine
from tests.routing.upstreams.site import (
    BIG,
    CONNECT_MS,
    answer,
    approve,
    caller,
    chat,
    config,
    entries,
    ready,
    until,
)


def write(data: Path, *urls: str, begin: str = "", **more: Any) -> None:
    given = {"kind": "vllm", "model": "there", "connect_ms": CONNECT_MS, "idle_seconds": 5,
             "answer_seconds": 20, **more}  # fmt: skip
    lines = [begin, f'[upstreams."{BIG}"]', f"urls = {json.dumps(urls)}"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in given.items()]
    (data / "appliance.toml").write_text("\n".join(lines if urls else [begin]) + "\n")


def states(services: Services) -> list[str]:
    return [host.state for host in services.upstreams.get(BIG).hosts]


@contextlib.asynccontextmanager
async def probing(services: Services) -> AsyncIterator[None]:
    running = asyncio.create_task(services.upstreams.run())
    yield
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_host_is_added_and_the_others_serve_meanwhile(tmp_path: Path) -> None:
    async with (
        Engine().serve() as one,
        Engine().serve() as two,
        ready(tmp_path / "d", config(one.url)) as services,
        probing(services),
    ):
        (old,) = services.upstreams.get(BIG).hosts
        write(services.data, one.url, two.url)
        await services.upstreams.reload("uid:7")
        assert states(services) == ["ready", "unapproved"]
        assert services.upstreams.get(BIG).hosts[0].health is old.health  # no probe came between
        await answer(services, caller(), chat())
        assert (len(one.streams), len(two.streams)) == (1, 0)
        approve(services, BIG, "approver-1")
        assert states(services) == ["ready", "unapproved"] and not two.requests
        approve(services, BIG, "approver-2")
        await until(lambda: states(services) == ["ready", "ready"])
        (said,) = [e for e in entries(services, "admin") if e["action"] == "upstream_reload"]
        assert said["actor"] == "uid:7"
        assert said["changes"] == [
            {"name": BIG, "added": [two.url], "removed": [], "settings": ["urls"]}
        ]


async def test_a_host_that_is_gone_ends_its_answers_and_gets_no_more(tmp_path: Path) -> None:
    async with (
        Engine(gate=asyncio.Event()).serve() as one,
        Engine().serve() as two,
        ready(tmp_path / "d", config(one.url, two.url)) as services,
    ):
        await services.upstreams.drain("uid:0", BIG, two.url, drained=True)
        running = asyncio.create_task(answer(services, caller(), chat()))
        await until(lambda: bool(one.streams))
        write(services.data, two.url)
        await services.upstreams.reload("uid:0")
        assert states(services) == ["drained"]  # as a person left it
        await services.upstreams.drain("uid:0", BIG, two.url, drained=False)
        await answer(services, caller("k2"), chat())
        assert (len(one.streams), len(two.streams)) == (1, 1)
        assert one.gate is not None
        one.gate.set()
        assert "".join(piece.text for piece in await running) == "".join(WORDS)
        hosts = [one["answered_by"]["host"] for one in entries(services, "outcome")]
        assert hosts == [two.url, one.url]


async def test_a_request_that_waits_goes_to_the_hosts_that_are_left(tmp_path: Path) -> None:
    async with (
        Engine().serve() as one,
        Engine().serve() as two,
        ready(tmp_path / "d", config(one.url, two.url)) as services,
    ):
        for host in services.upstreams.get(BIG).hosts:
            host.health.hold()
        waiting = asyncio.create_task(answer(services, caller(), chat()))
        await until(lambda: bool(entries(services, "intent")))
        write(services.data, two.url)
        await services.upstreams.reload("uid:0")
        (left,) = services.upstreams.get(BIG).hosts
        left.health.release()
        services.upstreams.get(BIG).tell()
        await waiting
        assert (len(one.streams), len(two.streams)) == (0, 1)


async def test_other_engines_need_approvals_and_get_no_request_of_before(tmp_path: Path) -> None:
    async with Engine().serve() as one, ready(tmp_path / "d", config(one.url)) as services:
        services.upstreams.get(BIG).hosts[0].health.hold()
        waiting = asyncio.create_task(answer(services, caller(), chat()))
        await until(lambda: bool(entries(services, "intent")))
        write(services.data, one.url, model="another")
        await services.upstreams.reload("uid:0")
        assert states(services) == ["unapproved"]
        with pytest.raises(ApplianceError) as caught:
            await waiting
        assert caught.value.code == "upstream_unavailable" and not one.streams
        write(services.data)
        await services.upstreams.reload("uid:0")
        assert not services.upstreams.all
        with pytest.raises(ApplianceError) as caught:
            await answer(services, caller(), chat())
        assert caught.value.code == "model_not_found"


async def test_other_settings_of_the_same_hosts(tmp_path: Path) -> None:
    async with Engine().serve() as one, ready(tmp_path / "d", config(one.url)) as services:
        write(services.data, one.url, slots=3, probe_seconds=77)
        await services.upstreams.reload("uid:0")
        (host,) = services.upstreams.get(BIG).hosts
        assert states(services) == ["ready"] and services.upstreams.get(BIG).slots == 3
        assert host.health.times.probe == 77
        await answer(services, caller(), chat())


@pytest.mark.parametrize(
    "wrong",
    ["[upstreams.big]\nurls = 7\n", "no toml", '[upstreams.b]\nurls=["https://a"]\nmodel="m"\n'
     'ca="none.pem"\n'],
)  # fmt: skip
async def test_a_broken_configuration_changes_nothing(
    tmp_path: Path, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Engine().serve() as one, ready(tmp_path / "d", config(one.url)) as services:
        before, upstream = services.upstreams.all, services.upstreams.get(BIG)
        (services.data / "appliance.toml").write_text(wrong)
        with pytest.raises(ApplianceError):
            await services.upstreams.reload("uid:0")
        assert services.upstreams.all is before and services.upstreams.get(BIG) is upstream
        assert states(services) == ["ready"] and "were not changed" in caplog.text
        assert "upstreams_unread" in [alarm.code for alarm in alarms(gathered(services))]
        assert "upstream_reload" not in [one["action"] for one in entries(services, "admin")]
        await answer(services, caller(), chat())
        write(services.data, one.url)
        await services.upstreams.reload("uid:0")
        assert "upstreams_unread" not in [alarm.code for alarm in alarms(gathered(services))]


async def test_the_first_upstream_of_an_appliance_that_had_none(tmp_path: Path) -> None:
    initialise(tmp_path / "d", "lab")
    none = Config(audit=AuditConfig(ballast_mib=0))
    async with Engine().serve() as one:
        with open_services(tmp_path / "d", config=none) as services:
            async with probing(services):
                write(services.data, one.url)
                await services.upstreams.reload("uid:0")
                await services.upstreams.learn("uid:0", BIG)
                approve(services)
                await until(lambda: states(services) == ["ready"])
                await answer(services, caller(), chat())
            await services.inference.drain(5)
            await services.upstreams.close()


async def test_the_server_reads_them_at_sighup(tmp_path: Path) -> None:
    begin = f"[server]\nport = {free_port()}\n[audit]\nballast_mib = 0"
    initialise(tmp_path / "d", "lab")
    write(tmp_path / "d", begin=begin)
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "appliance", "serve", "--data", tmp_path / "d",
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip

    def hosts() -> list[str] | None:
        with (
            contextlib.suppress(ApplianceError),
            AdminClient(socket_path(tmp_path / "d")) as client,
        ):
            return [host.url for one in client.call(UPSTREAMS).upstreams for host in one.hosts]
        return None

    async def told(wanted: list[str]) -> None:
        while await asyncio.to_thread(hosts) != wanted:
            await asyncio.sleep(0.1)

    try:
        await told([])
        write(tmp_path / "d", "http://127.0.0.1:9", begin=begin)
        server.send_signal(signal.SIGHUP)
        await told(["http://127.0.0.1:9"])
        write(tmp_path / "d", "http://127.0.0.1:10", begin=begin)
        with AdminClient(socket_path(tmp_path / "d")) as client:
            found = await asyncio.to_thread(lambda: client.call(UPSTREAMS_RELOAD))
        assert [host.url for one in found.upstreams for host in one.hosts] == [
            "http://127.0.0.1:10"
        ]
    finally:
        server.terminate()
        await server.wait()


async def test_a_request_is_not_sent_again_to_the_same_host_after_a_reload(tmp_path: Path) -> None:
    async with Engine().serve() as engine, ready(tmp_path / "d", config(engine.url)) as services:
        engine.mode, engine.gate = "whole", asyncio.Event()
        asking = asyncio.create_task(answer(services, caller(), chat()))
        await until(lambda: len(engine.streams) == 1)
        write(tmp_path / "d", engine.url, connect_ms=600)
        before = services.upstreams.get(BIG).hosts[0]
        await services.upstreams.reload("uid:0")
        assert services.upstreams.get(BIG).hosts[0] is not before
        for writer in list(engine._writers):
            writer.transport.abort()
        with pytest.raises(ApplianceError):
            await asking
        engine.gate.set()
        assert len(engine.streams) == 1


async def test_a_host_that_tripped_stays_so_when_it_comes_back(tmp_path: Path) -> None:
    async with Engine().serve() as engine, ready(tmp_path / "d", config(engine.url)) as services:
        engine.weights = 0.1
        await services.upstreams.probe("uid:0", BIG)
        assert states(services) == ["tripped"]
        why = services.upstreams.get(BIG).hosts[0].why
        for urls in ((), (engine.url,)):
            write(tmp_path / "d", *urls)
            await services.upstreams.reload("uid:0")
        assert states(services) == ["tripped"]
        (host,) = services.upstreams.get(BIG).hosts
        assert host.why == why and not host.drained
        # The old weights alone do not take it back; a person has it probed.
        engine.weights = 0.0
        assert not host.health.due
        await services.upstreams.probe("uid:0", BIG)
        assert states(services) == ["ready"]
