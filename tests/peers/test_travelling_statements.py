"""Approvals, pointers and certificates travel: two people approve once, a name points alike."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.trust.artifacts import signing
from appliance.trust.bytes import ecdsa
from appliance.trust.statements.pointer import TaskPointer, TaskVersion
from tests.evals.orders import TASK, write_task
from tests.peers.site_members import OneOf, made_site, opened, publish
from tests.site import MODEL, Site, approve
from tests.smol import quiet
from tests.trust import policies
from tests.trust.simulator import Simulator


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
