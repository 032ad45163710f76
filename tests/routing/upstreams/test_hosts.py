"""Choice of a host: usable ones only, near ones first, none too busy."""

import asyncio
from collections import Counter

import pytest

from appliance.config import UpstreamConfig
from appliance.errors import StateRefused, UpstreamLost
from appliance.routing.upstreams.connection import Connection, NotSent
from appliance.routing.upstreams.health import HostHealth
from appliance.routing.upstreams.hosts import SLACK, ConfiguredUpstream, UpstreamPeer
from tests.routing.upstreams.engine import Engine
from tests.routing.upstreams.site import CONNECT_MS
from tests.routing.upstreams.test_health import SAME, TIMES, Clock, look

URLS = tuple(f"http://localhost:{port}" for port in (1, 2, 3))


def made() -> ConfiguredUpstream:
    config, clock = UpstreamConfig(urls=URLS, model="m", slots=4), Clock()
    hosts = [
        UpstreamPeer(
            url, Connection(url, config, None, ""), HostHealth(TIMES, clock), approved=True
        )
        for url in URLS
    ]
    for host in hosts:
        look(host.health, SAME)
    return ConfiguredUpstream("big", config, hosts)


def test_one_beginning_goes_to_one_host_and_beginnings_are_spread() -> None:
    upstream = made()
    chosen = Counter(upstream.choose(b"prefix %d" % n) for n in range(300))
    assert len(chosen) == 3 and min(chosen.values()) > 60
    assert len({upstream.choose(b"same") for _ in range(9)}) == 1


def test_a_host_that_goes_moves_only_its_own() -> None:
    upstream = made()
    before = {n: upstream.choose(b"%d" % n) for n in range(100)}
    gone = upstream.hosts[0]
    gone.drained = True
    after = {n: upstream.choose(b"%d" % n) for n in range(100)}
    assert all(after[n] is before[n] for n in before if before[n] is not gone)
    assert gone not in after.values()


def test_affinity_gives_way_to_a_host_with_less_to_do() -> None:
    upstream = made()
    near = upstream.choose(b"x")
    assert near is not None
    near.health.running = SLACK
    assert upstream.choose(b"x") is near
    near.health.running = SLACK + 1
    assert upstream.choose(b"x") is not near


def test_requests_of_other_clients_count() -> None:
    upstream = made()
    near = upstream.choose(b"x")
    assert near is not None
    near.others = SLACK + 1
    assert upstream.choose(b"x") not in (near, None)
    for host in upstream.hosts:
        host.others = SLACK + 1
    assert upstream.choose(b"x") is near


async def test_a_probe_asks_the_engine_for_its_queue() -> None:
    async with Engine(others=5).serve() as engine:
        config = UpstreamConfig("vllm", (engine.url,), "m", slots=4, connect_ms=CONNECT_MS)
        clock = Clock()
        host = UpstreamPeer(
            engine.url, Connection(engine.url, config, None, ""), HostHealth(TIMES, clock)
        )
        upstream = ConfiguredUpstream("big", config, [host])
        upstream.known = await upstream.seen(host)
        host.health.running = 2
        await upstream.probe(host)
        assert host.others == 3
        engine.others = None  # it counts nothing any more
        await upstream.probe(host)
        assert host.others == 0


def test_only_usable_hosts_are_asked() -> None:
    upstream = made()
    one, two, three = upstream.hosts
    one.approved, two.health.tripped = False, "another model"
    assert {upstream.choose(b"%d" % n) for n in range(20)} == {three}
    assert upstream.choose(b"x", [three]) is None
    three.health.failed("refused", gone=True, last=True)
    assert upstream.choose(b"x") is None and upstream.slots == 4
    assert [host.state for host in upstream.hosts] == ["unlearnt", "tripped", "unreachable"]


async def test_requests_go_around_a_host_that_is_held_and_wait_where_there_is_no_other() -> None:
    upstream = made()
    one, two, three = upstream.hosts
    one.health.hold()
    assert one not in {upstream.choose(b"%d" % n) for n in range(20)}
    waiting = asyncio.create_task(upstream.chosen(b"x", [two, three]))
    await asyncio.sleep(0)
    assert not waiting.done()
    one.health.release()
    upstream.tell()
    assert await waiting is one
    one.health.hold()
    waiting = asyncio.create_task(upstream.chosen(b"x", [two, three]))
    await asyncio.sleep(0)
    one.drained = True
    upstream.tell()
    assert await waiting is None


def test_failures_are_the_hosts() -> None:
    upstream = made()
    host = upstream.hosts[0]
    upstream.failed(host, UpstreamLost("upstream_lost", "It is lost."))
    assert host.usable and host.health.problem == "upstream_lost: It is lost."
    upstream.failed(host, NotSent("upstream_unavailable", "It is not there."))
    assert host.state == "unreachable"
    slow = upstream.hosts[1]
    upstream.failed(slow, NotSent("upstream_unavailable", "It took too long.", gone=False))
    assert slow.usable


def test_connects_that_are_late_at_one_instant_take_no_host_out() -> None:
    upstream = made()
    late = NotSent("upstream_unavailable", "It took too long.", gone=False)
    for host in upstream.hosts:
        for _ in range(3):
            upstream.failed(host, late)
    assert all(host.usable for host in upstream.hosts)


def test_a_host_that_is_not_there() -> None:
    with pytest.raises(StateRefused) as caught:
        made().host("http://localhost:4")
    assert caught.value.code == "upstream_unknown"
