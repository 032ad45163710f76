"""Which host is asked: usable ones alone, near ones first, none of them too busy."""

from collections import Counter

import pytest

from appliance.config import UpstreamConfig
from appliance.errors import StateRefused, UpstreamLost
from appliance.routing.upstreams.connection import Connection, NotSent
from appliance.routing.upstreams.hosts import SLACK, Host, Upstream

URLS = tuple(f"http://localhost:{port}" for port in (1, 2, 3))


def made(now: float = 0.0) -> Upstream:
    config = UpstreamConfig(urls=URLS, model="m", slots=4)
    hosts = [Host(url, Connection(url, config, None, ""), approved=True) for url in URLS]
    for host in hosts:
        host.breaker.probed(0.0, passed=True)
        host.probed = 0.0
    return Upstream("big", config, hosts, lambda: now)


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
    near.outstanding = SLACK
    assert upstream.choose(b"x") is near
    near.outstanding = SLACK + 1
    assert upstream.choose(b"x") is not near


def test_only_usable_hosts_are_asked() -> None:
    upstream = made()
    one, two, three = upstream.hosts
    one.approved, two.tripped = False, "another model"
    assert {upstream.choose(b"%d" % n) for n in range(20)} == {three}
    assert upstream.choose(b"x", [three]) is None
    three.breaker.failed(0.0, gone=True)
    assert upstream.choose(b"x") is None and upstream.slots == 4
    assert [host.state for host in upstream.hosts] == ["unlearnt", "tripped", "unreachable"]


def test_when_a_probe_is_due() -> None:
    upstream = made(now=29.0)
    host = upstream.hosts[0]
    assert not upstream.due(host) and upstream.due(made(now=30.0).hosts[0]) is False
    later = made(now=31.0)
    assert later.due(later.hosts[0])
    later.hosts[0].breaker.probe()
    assert not later.due(later.hosts[0])  # one at a time
    tripped = later.hosts[1]
    tripped.tripped = "another model"
    assert not later.due(tripped)  # a person has to ask


def test_failures_are_the_hosts() -> None:
    upstream = made()
    host = upstream.hosts[0]
    upstream.failed(host, UpstreamLost("upstream_lost", "It is lost."))
    assert host.usable and host.problem == "upstream_lost: It is lost."
    upstream.failed(host, NotSent("upstream_unavailable", "It is not there."))
    assert host.state == "unreachable"
    slow = upstream.hosts[1]
    upstream.failed(slow, NotSent("upstream_unavailable", "It took too long.", gone=False))
    assert slow.usable


def test_a_host_that_is_not_there() -> None:
    with pytest.raises(StateRefused) as caught:
        made().host("http://localhost:4")
    assert caught.value.code == "upstream_unknown"
