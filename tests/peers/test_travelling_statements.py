"""Approvals, pointers and certificates travel: two people approve once, a name points alike."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from appliance.config import UpstreamConfig
from appliance.errors import StateRefused
from appliance.peers.documents import TravelLine
from appliance.peers.travelling_statements import RouteSuspension
from appliance.routing.upstreams.fingerprint import Fingerprint
from appliance.routing.upstreams.service import subject_of
from appliance.trust.artifacts import signing
from appliance.trust.bytes import ecdsa
from appliance.trust.statements import approval
from appliance.trust.statements.pointer import TaskPointer, TaskVersion
from appliance.trust.statements.upstream import UpstreamRecord
from tests.evals.gates import EVALUATOR
from tests.evals.orders import TASK, write_task
from tests.peers.site_members import OneOf, made_site, opened, publish
from tests.site import MODEL, Site, approve
from tests.smol import quiet
from tests.trust import policies
from tests.trust.forge import new_key
from tests.trust.simulator import Simulator
from tests.trust.statements.test_route import at, certificate


@pytest.fixture
def site(tmp_path: Path) -> tuple[Simulator, dict[str, Site]]:
    sim, sites = made_site(tmp_path, "ab")
    sim.policy["models"] = [{"id": MODEL}, {"id": "v1"}, {"id": "v2"}]
    publish(sim, sites)
    return sim, sites


@pytest.fixture
def pair(site: tuple[Simulator, dict[str, Site]]) -> Iterator[tuple[OneOf, OneOf]]:
    with opened(site[1]) as found:
        yield found["a"], found["b"]


def meet(*ones: OneOf) -> None:
    for _ in range(2):
        for one in ones:
            one.listens()


def state(one: OneOf, name: str = MODEL) -> str:
    return one.services.lifecycle.record(name).state


def refusals(one: OneOf) -> int:
    bodies = (entry.body for entry in one.services.reader.range(0, 500))
    return sum(body.get("event") == "approval_refused" for body in bodies)


def test_two_people_approve_once(
    site: tuple[Simulator, dict[str, Site]], pair: tuple[OneOf, OneOf], tmp_path: Path
) -> None:
    a, b = pair
    artifact = site[1]["a"].artifact(tmp_path / MODEL)
    a.services.lifecycle.import_model("uid:0", artifact, None, quiet)
    approve(a.services, MODEL, "Alice")
    meet(a, b)
    assert [one.code for one in b.exchange.travelling.waiting()] == ["unknown_model_id"]
    b.services.lifecycle.import_model("uid:0", artifact, None, quiet)
    assert state(b) == "verified"
    approve(b.services, MODEL, "Bob")
    meet(a, b)
    assert (state(a), state(b)) == ("approved", "approved")
    for one in pair:
        assert one.exchange.travelling.waiting() == [] and refusals(one) == 0
        size = one.services.reader.size
        meet(a, b)
        assert one.services.reader.size == size


async def test_an_approval_of_before_a_suspension_counts_no_more(
    site: tuple[Simulator, dict[str, Site]], pair: tuple[OneOf, OneOf], tmp_path: Path
) -> None:
    a, b = pair
    artifact = site[1]["a"].artifact(tmp_path / MODEL)
    for one in pair:
        one.services.lifecycle.import_model("uid:0", artifact, None, quiet)
    approve(a.services, MODEL, "Alice", "Bob")
    lines = list(a.exchange.travelling.all())
    assert lines == []  # nothing was told yet
    approve(b.services, MODEL, "Alice", "Bob")
    await b.services.pool.suspend("uid:0", MODEL, "complaints")
    meet(a, b)
    assert (state(a), state(b)) == ("approved", "suspended")
    assert {one.code for one in b.exchange.travelling.waiting()} <= {"approval_void"}
    assert refusals(b) == 0


def tasks(one: OneOf, root: Path, *names: str) -> None:
    for name in names:
        path = root / one.name / name
        path.parent.mkdir(exist_ok=True)
        write_task(path, TASK.replace("version = 1", f"version = {name[1:]}"))
        signing.sign_directory(path, ecdsa.private_pem(policies.PUBLISHER), quiet)
        one.services.lifecycle.import_model("uid:0", path, None, quiet)
        approve(one.services, name, "Alice", "Bob")


def point(one: OneOf, task: str, person: str, time: str, previous: str = "") -> str:
    """Point `orders` at a task on this appliance; the pointer's id."""
    from appliance.api.admin.pointers import _pointing

    digest = one.services.store.inventory.record(task).digest or ""
    key = {"Alice": policies.ALICE, "Bob": policies.BOB}[person]
    made = TaskPointer("orders", TaskVersion(task, digest), previous, person, "read", time)
    _pointing(one.services).flip("uid:0", made.sign(key), one.services.policy())
    return newest(one)


def newest(one: OneOf) -> str:
    found = one.services.pointers.newest("orders")
    return found[0] if found else ""


def test_a_name_points_alike_also_where_two_pointed_at_once(
    pair: tuple[OneOf, OneOf], tmp_path: Path
) -> None:
    a, b = pair
    tasks(a, tmp_path, "v1", "v2")
    first = point(a, "v1", "Alice", "2026-11-25T00:00:00Z")
    meet(a, b)
    assert newest(b) == "" and len(b.exchange.travelling.waiting()) >= 1  # the task is not there
    tasks(b, tmp_path, "v1", "v2")
    meet(a, b)
    assert newest(b) == first
    last = point(b, "v2", "Bob", "2026-11-25T00:00:02Z", first)
    point(a, "v1", "Alice", "2026-11-25T00:00:01Z", first)
    meet(a, b)
    assert newest(a) == newest(b) == last
    third = point(a, "v1", "Alice", "2026-11-25T00:00:03Z", last)
    meet(a, b)
    assert newest(a) == newest(b) == third
    for one in pair:
        assert one.services.agreement.look().differences == ()
        size = one.services.reader.size
        meet(a, b)
        assert one.services.reader.size == size


def test_certificates_of_routes_travel_where_the_same_engine_serves(
    site: tuple[Simulator, dict[str, Site]], pair: tuple[OneOf, OneOf]
) -> None:
    sim, sites = site
    sim.policy["keys"] |= policies.bound(EVALUATOR, "evidence of plant 1")
    evaluators = {"keys": [policies.hint(EVALUATOR)], "threshold": 1}
    sim.policy["roles"]["evaluator"] = evaluators
    publish(sim, sites)
    a, b = pair
    engine = a.services.routes.certificates._engine()
    mine, other = (certificate(how=at(engine=name)) for name in (engine, "llama.cpp 0"))
    for envelope in (mine, other):
        a.services.routes.certificates.add(envelope, a.services.policy())
    meet(a, b)
    assert b.services.routes.certificates.envelopes() == [mine]
    assert [one.code for one in b.exchange.travelling.waiting()] == ["route_certificate_other"]
    assert b.services.agreement.look().differences == ()
    size = b.services.reader.size
    meet(a, b)
    assert b.services.reader.size == size
    sim.policy["revoked"]["keys"] = [policies.hint(EVALUATOR)]
    publish(sim, sites)
    _, refused = b.exchange.travelling.take_all([TravelLine("route", mine.decode())])
    assert [one.code for one in refused] == ["evaluator_revoked"]


def test_a_suspended_certificate_of_a_route_is_suspended_on_all(tmp_path: Path) -> None:
    sim, sites = made_site(tmp_path)
    sim.policy["keys"] |= policies.bound(EVALUATOR, "evidence of plant 1")
    sim.policy["roles"]["evaluator"] = {"keys": [policies.hint(EVALUATOR)], "threshold": 1}
    publish(sim, sites)
    with opened(sites) as found:
        a, b, c = found.values()
        kept = a.services.routes.certificates
        engine = kept._engine()
        ids = [
            kept.add(certificate(how=at(engine=name)), a.services.policy()).id
            for name in (engine, "llama.cpp 0")
        ]
        meet(a, b)  # c has neither certificate yet
        for each in ids:  # as its monitor does; the other engine's says nothing of this one's
            a.services.routes.suspend(each, "too many errors")
        meet(a, b)
        assert b.services.routes.certificates.suspensions() == {ids[0]: "too many errors"}
        sim.policy["site"]["members"] = sim.policy["site"]["members"][1:]
        publish(sim, sites)  # a is gone: what it signed counts no more
        meet(b, c)
        assert c.services.routes.certificates.suspended(ids[0]) == "too many errors"
        entries = [one.body for one in c.services.reader.range(0, 500)]
        taken = [e for e in entries if e.get("action") == "route_suspended"]
        assert [(e["certificate"], e["actor"]) for e in taken] == [(ids[0], "site b")]
        assert c.services.agreement.look().differences == ()
        size = c.services.reader.size
        meet(b, c)
        assert c.services.reader.size == size
        (line,) = (one for one in c.exchange.travelling.all() if one.kind == "route-suspension")
        said = RouteSuspension.open(line.envelope.encode()).said
        forged = msgspec.structs.replace(said, version=9).sign(new_key()).decode()
        lines = [TravelLine(line.kind, envelope) for envelope in (forged, "{}")]
        _, refused = b.exchange.travelling.take_all(lines)
        assert [one.code for one in refused] == ["member_not_listed", "travelling_malformed"]


def test_approvals_of_hosts_travel_with_what_was_learnt(
    site: tuple[Simulator, dict[str, Site]],
) -> None:
    upstream = UpstreamConfig("openai", ("http://127.0.0.1:9",), "there")
    learnt = Fingerprint((), ((("a", -1),),), tolerance=1).encode()
    with opened(site[1], upstreams={"big": upstream}) as found:
        a, b = found["a"], found["b"]
        a.services.upstreams._records.learn("big", learnt)
        big = a.services.upstreams.get("big")
        a.services.upstreams.refresh(big)

        def approves(one: OneOf, person: str) -> None:
            key = {"Alice": policies.ALICE, "Bob": policies.BOB}[person]
            (host,) = one.services.upstreams.get("big").hosts
            envelope = approval.sign(
                subject_of(one.services.upstreams.get("big"), host), name=person,
                meaning="may be asked", time_us=one.services.clock.wall_us(),
                private_key=ecdsa.private_pem(key),
            )  # fmt: skip
            one.services.upstreams.approve("uid:0", "big", host.url, envelope)

        approves(a, "Alice")
        meet(a, b)
        approves(b, "Bob")
        meet(a, b)
        for one in (a, b):
            (host,) = one.services.upstreams.get("big").hosts
            assert host.approved and one.exchange.travelling.waiting() == []
            assert len(one.services.upstreams.approvals(host)) == 2
            size = one.services.reader.size
            meet(a, b)
            assert one.services.reader.size == size
        assert b.services.agreement.look().differences == ()
        line = next(one for one in a.exchange.travelling.all() if one.kind == "upstream")
        told = json.loads(line.envelope)
        told["record"]["url"] = "http://127.0.0.1:10"
        spoilt = {
            "travelling_malformed": [json.dumps(told), "{}", json.dumps({**told, "learnt": "AAAA"})]
        }
        for code, envelopes in spoilt.items():
            lines = [TravelLine("upstream", envelope) for envelope in envelopes]
            new, refused = b.exchange.travelling.take_all(lines)
            assert (new, [one.code for one in refused]) == (0, [code] * len(lines))


def test_a_host_that_is_configured_otherwise_waits(
    site: tuple[Simulator, dict[str, Site]],
) -> None:
    upstream = UpstreamConfig("openai", ("http://127.0.0.1:9",), "there")
    with opened(site[1], upstreams={"big": upstream}) as found:
        b = found["b"]
        upstreams = b.services.upstreams
        learnt = Fingerprint((), ((("a", -1),),), tolerance=1).encode()
        digest = hashlib.sha256(learnt).hexdigest()
        record = UpstreamRecord(
            "big", "openai", "http://127.0.0.1:9", "elsewhere", (), (), keeps_content=False,
            fingerprint=digest,
        )  # fmt: skip
        for other, code in (
            (record, "upstream_other"),
            (replace(record, name="small"), "upstream_unknown"),
            (replace(record, url="http://127.0.0.1:8"), "upstream_unknown"),
        ):
            with pytest.raises(StateRefused) as caught:
                upstreams.adopt("site", other, learnt, b"{}")
            assert caught.value.code == code
        assert upstreams._records.fingerprint("big") is None
