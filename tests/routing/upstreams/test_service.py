"""People's actions on upstreams: nothing leaves before approvals, trips stay, no other way out."""

import asyncio
import contextlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.app import Services, initialise, open_services
from appliance.config import Config
from appliance.errors import ApplianceError, NotFound, PolicyRefused, StateRefused
from tests.routing.upstreams.engine import Engine
from tests.routing.upstreams.site import (
    BIG,
    all_hops,
    answer,
    approve,
    caller,
    chat,
    config,
    entries,
    ready,
    until,
)


def state(services: Services) -> list[str]:
    return [host.state for host in services.upstreams.get(BIG).hosts]


def is_ready(services: Services) -> bool:
    return services.upstreams.ready


async def refusal(services: Services) -> str:
    with pytest.raises(ApplianceError) as caught:
        await answer(services, caller(), chat())
    return caught.value.code


async def test_nothing_is_sent_before_two_people_approved(tmp_path: Path) -> None:
    initialise(tmp_path / "d", "lab")
    async with Engine().serve() as engine:
        with open_services(tmp_path / "d", config=config(engine.url)) as services:
            running = asyncio.create_task(services.upstreams.run())
            await asyncio.sleep(0.3)
            assert state(services) == ["unlearnt"] and engine.requests == []
            with pytest.raises(StateRefused) as caught:
                approve(services)
            assert caught.value.code == "upstream_unlearnt"
            await services.upstreams.learn("uid:0", BIG)
            learnt = len(engine.requests)
            assert (
                state(services) == ["unapproved"] and await refusal(services) == "model_not_found"
            )
            approve(services, BIG, "approver-1")
            with pytest.raises(PolicyRefused):
                approve(services, BIG, "approver-1")
            await asyncio.sleep(0.3)
            assert await refusal(services) == "model_not_found"
            assert len(engine.requests) == learnt
            approve(services, BIG, "approver-2")
            await until(lambda: state(services) == ["ready"])
            await answer(services, caller(), chat())
            actions = [entry["action"] for entry in entries(services, "admin")]
            assert actions == ["upstream_learn", "upstream_approval", "upstream_approval_refused",
                               "upstream_approval"]  # fmt: skip
            running.cancel()
            await services.inference.drain(5)
            await services.upstreams.close()


async def test_another_definition_needs_approvals_of_its_own(tmp_path: Path) -> None:
    async with Engine().serve() as one, Engine().serve() as two:
        async with ready(tmp_path / "d", config(one.url)) as services:
            assert state(services) == ["ready"]
            identity = services.upstreams.get(BIG).identity
        changes = {
            "model": config(one.url, model="another"),
            "keeps_content": config(one.url, keeps_content=False),
            "kind": config(one.url, kind="openai"),
        }
        for wanted in changes.values():
            with open_services(tmp_path / "d", config=wanted) as services:
                services.upstreams.refresh(services.upstreams.get(BIG))
                assert state(services) == ["unapproved"]
                await services.upstreams.close()
        with open_services(tmp_path / "d", config=config(one.url, two.url)) as services:
            await services.upstreams.probe("uid:0", BIG)
            assert state(services) == ["ready", "unapproved"]  # a host is added
            assert services.upstreams.get(BIG).identity == identity
            await services.upstreams.close()


async def test_other_weights_trip_and_stay_out_until_a_person_asks(tmp_path: Path) -> None:
    async with (
        Engine().serve() as engine,
        ready(tmp_path / "d", config(engine.url, probe_seconds=1)) as services,
    ):
        running = asyncio.create_task(services.upstreams.run())
        await answer(services, caller(), chat())
        engine.weights = 0.1
        await until(lambda: state(services) == ["suspect"])
        (host,) = services.upstreams.get(BIG).hosts
        assert host.why.startswith("a value is 0.1")
        await answer(services, caller(), chat())  # it is still asked
        await until(lambda: state(services) == ["tripped"])
        asked = len(engine.streams)
        assert await refusal(services) == "upstream_unavailable"
        assert len(engine.streams) == asked
        await until(lambda: entries(services, "admin")[-1]["action"] == "upstream_tripped")
        engine.weights = 0.0
        await asyncio.sleep(0.3)
        assert state(services) == ["tripped"]
        running.cancel()
        await services.upstreams.probe("uid:0", BIG)
        assert state(services) == ["ready"] and not host.why
        await answer(services, caller(), chat())
        done = [entry["action"] for entry in entries(services, "admin")[-4:]]
        assert done == [
            "upstream_suspect", "upstream_tripped", "upstream_probe", "upstream_taken_back"
        ]  # fmt: skip


BUSY_CLIENTS = 11


async def test_a_probe_that_queues_behind_answers_takes_no_host_out(tmp_path: Path) -> None:
    long = ("word",) * 150
    async with (
        Engine(queues=True, words=long, delay=0.01).serve() as engine,
        ready(tmp_path / "d", config(engine.url, slots=32, idle_seconds=1)) as services,
    ):
        upstream = services.upstreams.get(BIG)
        running = [asyncio.create_task(answer(services, caller(), chat())) for _ in range(3)]
        await until(lambda: engine.running)
        await services.upstreams.probe_host(upstream, upstream.hosts[0])
        assert state(services) == ["busy"]
        asking = [answer(services, caller(), chat()) for _ in range(BUSY_CLIENTS)]
        for pieces in await asyncio.gather(*running, *asking):
            assert pieces[-1].finish_reason == "stop"
        await services.upstreams.probe("uid:0", BIG)
        assert state(services) == ["ready"]


async def test_a_request_waits_for_a_quiet_moment_no_longer_than_for_a_piece(
    tmp_path: Path,
) -> None:
    async with (
        Engine(mode="stalled").serve() as engine,
        ready(tmp_path / "d", config(engine.url, idle_seconds=1, quiet_seconds=1)) as services,
    ):
        upstream = services.upstreams.get(BIG)
        (host,) = upstream.hosts
        host.health.times = replace(host.health.times, quiet=0)
        upstream.begin(host)  # an answer that does not end
        probe = asyncio.create_task(services.upstreams.probe_host(upstream, host))
        await until(lambda: host.health.held)
        engine.mode = "whole"
        waiting = asyncio.create_task(answer(services, caller(), chat()))
        await until(lambda: not host.health.held)
        assert not engine.streams or not waiting.done()
        assert (await waiting)[-1].finish_reason == "stop"
        await probe
        assert state(services) == ["ready"]
        upstream.end(host)


async def restarted(data: Path, engine: Engine, later_s: int = 0) -> tuple[str, int]:
    """State of the host after its first probe, and the number of prompts.

    Args:
        later_s: seconds that the appliance was away.
    """
    with open_services(data, config=config(engine.url)) as services:
        (host,) = services.upstreams.get(BIG).hosts
        now = services.clock.wall_us() + 1_000_000 * later_s
        services.upstreams._wall_us = lambda: now
        engine.requests.clear()
        running = asyncio.create_task(services.upstreams.run())
        await until(lambda: host.looked and not host.health._probing)
        found = host.state, sum(one.path == "/v1/completions" for one in engine.requests)
        running.cancel()
        await services.upstreams.close()
        return found


async def test_after_a_restart_the_same_process_is_asked_at_once(tmp_path: Path) -> None:
    async with Engine().serve() as engine:
        async with ready(tmp_path / "d", config(engine.url)):
            pass
        assert await restarted(tmp_path / "d", engine) == ("ready", 0)
        assert await restarted(tmp_path / "d", engine, later_s=59) == ("ready", 0)
        assert await restarted(tmp_path / "d", engine, later_s=60) == ("ready", 4)
        engine.began += 1  # another process
        assert await restarted(tmp_path / "d", engine, later_s=61) == ("ready", 4)
        engine.weights = 0.1
        with open_services(tmp_path / "d", config=config(engine.url)) as services:
            upstream = services.upstreams.get(BIG)
            services.upstreams.refresh(upstream)
            await services.upstreams.probe_host(upstream, upstream.hosts[0])
            assert state(services) == ["suspect"]
            await services.upstreams.close()
        assert await restarted(tmp_path / "d", engine, later_s=62) == ("suspect", 4)


async def test_a_host_is_drained_for_an_upgrade(tmp_path: Path) -> None:
    async with (
        Engine().serve() as one,
        Engine().serve() as two,
        ready(tmp_path / "d", config(one.url, two.url)) as services,
    ):
        await services.upstreams.drain("uid:0", BIG, one.url, drained=True)
        for number in range(6):
            await answer(services, caller(), chat(f"question {number}"))
        assert len(two.streams) == 6 and not one.streams
        await services.upstreams.drain("uid:0", BIG, two.url, drained=True)
        assert await refusal(services) == "upstream_unavailable"
        assert not is_ready(services)
        await services.upstreams.drain("uid:0", BIG, one.url, drained=False)
        assert is_ready(services)
        await answer(services, caller(), chat())
        assert len(one.streams) == 1


async def test_no_connection_goes_anywhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[object] = []
    watching = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event == "socket.connect":
            connected.append(arguments[1])

    sys.addaudithook(hook)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with Engine().serve() as engine:
        async with ready(tmp_path / "d", config(engine.url)) as services:
            await answer(services, caller(), chat())
            engine.mode = "redirect"
            assert await refusal(services) == "upstream_redirect"
        ports = {address[1] for address in connected if isinstance(address, tuple)}
        watching = False
        assert ports == {engine.port}


async def test_a_broken_upstream_is_shown_and_stops_nothing_else(tmp_path: Path) -> None:
    initialise(tmp_path / "d", "lab")
    wanted = config("https://localhost:1", ca="missing.pem")
    with open_services(tmp_path / "d", config=wanted) as services:
        assert BIG in services.upstreams.broken and not services.upstreams.all
        with pytest.raises(StateRefused) as caught:
            services.upstreams.get(BIG)
        assert caught.value.code == "upstream_unknown"


async def test_a_revoked_approval_ends_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Engine().serve() as engine, ready(tmp_path / "d", config(engine.url)) as services:
        policy = services.upstreams._policy()
        revoked = replace(policy, revoked=replace(policy.revoked, keys=frozenset(policy.keys)))
        monkeypatch.setattr(services.upstreams, "_policy", lambda: revoked)
        await services.upstreams.probe("uid:0", BIG)
        assert state(services) == ["unapproved"]
        with pytest.raises(NotFound):
            await answer(services, caller(), chat())


async def test_an_approval_holds_while_it_is_asked_again(tmp_path: Path) -> None:
    async with Engine().serve() as engine, ready(tmp_path / "d", config(engine.url)) as services:
        upstream = services.upstreams.get(BIG)

        def again() -> None:
            for _ in range(50):
                services.upstreams.refresh(upstream)

        asking = asyncio.get_running_loop().run_in_executor(None, again)
        while not asking.done():
            assert state(services) == ["ready"]
            await asyncio.sleep(0)
        await asking


async def test_a_configuration_without_upstreams_asks_nothing(tmp_path: Path) -> None:
    initialise(tmp_path / "d", "lab")
    with open_services(tmp_path / "d", config=Config()) as services:
        running = asyncio.create_task(services.upstreams.run())
        for _ in range(3):
            await asyncio.sleep(0)
        assert not running.done() and not services.upstreams.ready
        running.cancel()


async def test_hops_are_counted_by_upstream_state_and_result(tmp_path: Path) -> None:
    async with Engine().serve() as engine, ready(tmp_path / "d", config(engine.url)) as services:
        for mode in ("whole", "full", "whole"):
            engine.mode = mode
            with contextlib.suppress(ApplianceError):
                await answer(services, caller(), chat())
        shown = services.metrics.text()
        for result, count in (("answered", 2), ("upstream_busy", 1)):
            labels = f'result="{result}",state="ready",upstream="{BIG}"'
            assert f"appliance_upstream_hops_total{{{labels}}} {count}.0" in shown
        states = {(hop["event"], hop["state"]) for hop in all_hops(services)}
        assert states == {("sent", "ready"), ("answered", "ready"), ("failed", "ready")}
