"""Tasks that need an evaluation: at approval, at use and at the re-check."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from appliance.app import Services, initialise, open_services
from appliance.audit.log import Draft
from appliance.clock import FixedClock
from appliance.errors import Refused
from appliance.evals import judging
from appliance.facts import TaskFacts
from appliance.trust.artifacts import signing
from appliance.trust.artifacts.artifact import VettedWhole
from appliance.trust.artifacts.records import ModelState
from appliance.trust.artifacts.store import load_policy
from appliance.trust.bytes import dsse, ecdsa, evidence, strict_json
from appliance.trust.policy import policy
from appliance.trust.statements import approval, evaluation
from tests import site
from tests.evals.gates import EVALUATOR, STRANGER, certificate, circumstances, pairs
from tests.evals.orders import write_task
from tests.evals.sealed import add_task, envelope, terms
from tests.registry.test_lifecycle import edges, tiny
from tests.smol import APPROVERS, SMALL, approve, key
from tests.trust import policies
from tests.trust.simulator import Simulator

DAY = 86_400.0
DATASET_DIGEST = "cd" * 32


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def lab(tmp_path: Path, clock: FixedClock) -> Iterator[Services]:
    initialise(tmp_path / "data", "lab", clock, evaluated=True)
    with open_services(tmp_path / "data", config=SMALL, clock=clock) as services:
        yield services


def certify(
    services: Services, task: str, outcomes: Any = None, person: str = "publisher", **at: Any
) -> str:
    """Keep a certificate of the task as the gate signs it; its id."""
    named = {"dataset": "elsewhere", "dataset_digest": DATASET_DIGEST, "name": person}
    wanted = terms(services, task, task, **named)
    found = judging.judge(wanted, pairs(400, gained=20) if outcomes is None else outcomes)
    now = services.clock.wall_us()
    when: dict[str, Any] = {"engine": services.store.evaluations.engine}
    when |= {"issued_us": now, "valid_until_us": now + int(365 * DAY * 1e6)}
    made = evaluation.sign(
        envelope(services, wanted, person),
        wanted,
        found,
        circumstances(**(when | at)),
        evidence.ensure(services.data),
    )
    return services.store.evaluations.add(made, load_policy(services.data / "trust")).id


def code(action: Any) -> str:
    with pytest.raises(Refused) as caught:
        action()
    return caught.value.code


def use(services: Services, task: str = "orders") -> str:
    found = load_policy(services.data / "trust")
    return services.store.use(task, "task", found, lambda *_: None, lambda _: None)[0]


def change_policy(services: Services, change: Any) -> None:
    path = services.data / "trust" / "policy.json"
    read = dsse.parse(path.read_bytes(), policy.PAYLOAD_TYPE, lambda why: ValueError(why))  # type: ignore[arg-type,return-value]
    document = json.loads(read.payload)
    change(document)
    root = ecdsa.load_private(key(services.data, "root"))
    path.write_bytes(dsse.sign(strict_json.dump(document), policy.PAYLOAD_TYPE, [root]))


def test_a_task_without_a_certificate_is_not_approved(lab: Services, tmp_path: Path) -> None:
    task = add_task(lab, tmp_path / "orders")
    assert code(lambda: approve(lab, task, *APPROVERS)) == "evaluation_missing"
    assert lab.store.inventory.record(task).state == "verified"
    certify(lab, task)
    approve(lab, task, *APPROVERS)
    assert lab.store.inventory.record(task).state == "approved"
    assert use(lab) == lab.store.inventory.record(task).digest
    assert lab.store.alarms(load_policy(lab.data / "trust")) == []


def test_terms_come_from_signed_bytes_and_from_no_table(lab: Services, tmp_path: Path) -> None:
    """A margin of 0.99 in the table passes a wrong classifier through nothing."""
    task = add_task(lab, tmp_path / "orders")
    record = lab.store.inventory.record(task)
    facts = record.facts
    assert isinstance(facts, TaskFacts)
    told = structs.replace(facts, margin_micros=990_000, model_digest="11" * 32)
    lab.store.inventory.set_state(task, record.state, facts=VettedWhole(told))
    assert lab.store.inventory.record(task).facts == told
    found = load_policy(lab.data / "trust")
    assert lab.store.facts(task, found).margin_micros == 50_000
    certify(lab, task)  # with the terms of the table
    assert code(lambda: approve(lab, task, *APPROVERS)) == "evaluation_other_task"
    lab.store.inventory.set_state(task, record.state, facts=VettedWhole(facts))
    certify(lab, task)  # the control
    approve(lab, task, *APPROVERS)
    lab.store.inventory.set_state(task, ModelState.APPROVED, facts=VettedWhole(told))
    assert use(lab)  # the table decides nothing against it either


def test_a_later_gate_that_fails_is_told_until_a_person_names_it(
    lab: Services, tmp_path: Path, clock: FixedClock
) -> None:
    task = add_task(lab, tmp_path / "orders")
    certify(lab, task)
    approve(lab, task, APPROVERS[0])
    clock.advance(60)
    failed = certify(lab, task, outcomes=pairs(400, lost=80))
    with pytest.raises(Refused) as caught:
        approve(lab, task, APPROVERS[1])
    assert caught.value.code == "evaluation_contradicted" and failed in caught.value.message
    approve(lab, task, APPROVERS[1], meaning=f"read {failed[:12]}: labels of that week were wrong")
    assert lab.store.inventory.record(task).state == "approved" and use(lab)
    told = lab.store.alarms(load_policy(lab.data / "trust"))
    assert told == []  # decided: an approval names it
    clock.advance(60)
    again = certify(lab, task, outcomes=pairs(400, lost=90))
    (alarm,) = lab.store.alarms(load_policy(lab.data / "trust"))
    assert again[:12] in alarm.message and "failed on elsewhere" in alarm.message
    assert use(lab)  # it serves on, by policy
    clock.advance(60)
    certify(lab, task)  # a later pass ends it
    assert lab.store.alarms(load_policy(lab.data / "trust")) == []


def test_a_lab_that_asks_for_none_approves_as_before(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab")
    with open_services(tmp_path / "data", config=SMALL) as services:
        task = add_task(services, tmp_path / "orders")
        approve(services, task, *APPROVERS)
        assert use(services)


def test_approvals_bind_the_certificate(lab: Services, tmp_path: Path, clock: FixedClock) -> None:
    task = add_task(lab, tmp_path / "orders")
    certify(lab, task)
    approve(lab, task, APPROVERS[0])
    clock.advance(60)
    newer = certify(lab, task)
    assert lab.lifecycle.subject(task).certificate == newer
    approve(lab, task, APPROVERS[1])
    assert lab.store.inventory.record(task).state == "verified"  # one approval of each
    approve(lab, task, APPROVERS[0])
    assert lab.store.inventory.record(task).state == "approved"


def test_an_approval_replaces_the_same_key_s_before_it_counts(
    lab: Services, tmp_path: Path, clock: FixedClock
) -> None:
    """As a crash of an older release left it: two approvals of a certificate, and no state."""
    task = add_task(lab, tmp_path / "orders")
    certify(lab, task)
    approve(lab, task, *APPROVERS)
    lab.store.inventory.set_state(task, "verified")
    clock.advance(60)
    certify(lab, task)
    approve(lab, task, APPROVERS[0])
    assert lab.store.inventory.record(task).state == "verified"  # one approval of each
    approve(lab, task, APPROVERS[1])
    assert lab.store.inventory.record(task).state == "approved" and use(lab)


def test_an_approval_without_the_certificate_is_for_something_else(
    lab: Services, tmp_path: Path
) -> None:
    task = add_task(lab, tmp_path / "orders")
    certify(lab, task)
    plain = replace(lab.lifecycle.subject(task), certificate=None)
    given = approval.sign(
        plain, name=APPROVERS[0], meaning="fit", time_us=0, private_key=key(lab.data, APPROVERS[0])
    )
    assert code(lambda: lab.lifecycle.approve("uid:0", task, given)) == "approval_other_artifact"


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [(pairs(400, lost=80), "evaluation_not_passed"), (pairs(40), "evaluation_not_passed")],
)
def test_a_certificate_that_did_not_pass_approves_nothing(
    lab: Services, tmp_path: Path, outcomes: Any, expected: str
) -> None:
    task = add_task(lab, tmp_path / "orders")
    certify(lab, task, outcomes)
    assert code(lambda: approve(lab, task, *APPROVERS)) == expected
    assert lab.store.inventory.record(task).state == "verified"


async def test_a_revoked_evidence_key_suspends_at_the_next_check(
    lab: Services, tmp_path: Path
) -> None:
    task = add_task(lab, tmp_path / "orders")
    certify(lab, task)
    approve(lab, task, *APPROVERS)
    assert await lab.sweep.run() == []  # the control
    hint = ecdsa.hint(evidence.ensure(lab.data).public_key())
    change_policy(lab, lambda d: d["revoked"]["keys"].append(hint))
    assert code(lambda: use(lab)) == "evaluator_revoked"
    (found,) = await lab.sweep.run()
    assert (found.id, found.state, found.code) == (task, "suspended", "evaluator_revoked")
    assert edges(lab, task)[-1]["code"] == "evaluator_revoked"


async def test_a_certificate_that_is_held_back_suspends_nothing_before_a_person_decides(
    lab: Services, tmp_path: Path
) -> None:
    task = add_task(lab, tmp_path / "orders")
    certificate = certify(lab, task)
    approve(lab, task, *APPROVERS)
    lab.store.evaluations.held = lambda: frozenset({certificate})
    for look in (lab.sweep.run, lab.sweep.ask):
        (found,) = await look()
        assert (found.id, found.state, found.code) == (task, "approved", "state_differs")
    assert code(lambda: use(lab)) == "state_differs"
    lab.store.evaluations.held = frozenset
    assert await lab.sweep.run() == []
    use(lab)


async def test_a_policy_that_asks_later_suspends_what_has_no_certificate(
    tmp_path: Path,
) -> None:
    initialise(tmp_path / "data", "lab")
    with open_services(tmp_path / "data", config=SMALL) as services:
        task = add_task(services, tmp_path / "orders")
        approve(services, task, *APPROVERS)
        change_policy(services, lambda d: d.update(tasks={"require": ["evaluation"]}))
        assert code(lambda: use(services)) == "evaluation_missing"
        (found,) = await services.sweep.ask()
        assert (found.state, found.code) == ("suspended", "evaluation_missing")


async def test_an_expired_certificate_serves_for_its_grace(
    lab: Services, tmp_path: Path, clock: FixedClock
) -> None:
    task = add_task(lab, tmp_path / "orders")
    certify(lab, task)
    approve(lab, task, *APPROVERS)
    rules = load_policy(lab.data / "trust")
    assert lab.store.alarms(rules) == []
    clock.advance(350 * DAY)
    (soon,) = lab.store.alarms(rules)
    assert soon.message.startswith("The evaluation of orders expires at ")
    clock.advance(30 * DAY)
    (late,) = lab.store.alarms(rules)
    assert "expired at" in late.message and "it serves until" in late.message
    assert use(lab) and await lab.sweep.run() == []
    assert code(lambda: lab.lifecycle.subject(task)) == "evaluation_expired"
    clock.advance(30 * DAY)
    assert code(lambda: use(lab)) == "evaluation_expired"
    (found,) = await lab.sweep.run()
    assert (found.state, found.code) == ("suspended", "evaluation_expired")


def test_a_clock_that_is_set_back_does_not_make_it_valid_again(
    lab: Services, tmp_path: Path, clock: FixedClock
) -> None:
    task = add_task(lab, tmp_path / "orders")
    certify(lab, task)
    approve(lab, task, *APPROVERS)
    clock.advance(420 * DAY)
    lab.audit.append(_note()).result()  # the log has been there
    clock.advance(-400 * DAY)
    assert code(lambda: use(lab)) == "evaluation_expired"


def _note() -> Draft:
    return Draft("admin", {"action": "note", "actor": "uid:0"})


def test_another_engine_needs_another_certificate(lab: Services, tmp_path: Path) -> None:
    task = add_task(lab, tmp_path / "orders")
    certify(lab, task, engine="llama-cpp-python 0.0.1")
    assert code(lambda: approve(lab, task, *APPROVERS)) == "evaluation_other_engine"


def test_who_specified_does_not_approve_where_the_policy_says_so(
    lab: Services, tmp_path: Path
) -> None:
    both = ["publisher", "evaluator"]
    change_policy(lab, lambda d: d["roles"]["approver"].update(distinct_from=both))
    task = add_task(lab, tmp_path / "orders")
    certify(lab, task, person=APPROVERS[0])
    assert code(lambda: approve(lab, task, APPROVERS[0])) == "approver_not_distinct"
    approve(lab, task, APPROVERS[1])
    assert lab.store.inventory.record(task).state == "verified"


def test_only_tasks_can_be_asked_for_an_evaluation(lab: Services, tmp_path: Path) -> None:
    rule = {"id": "tiny", "require": ["oms", "approval", "evaluation"]}
    change_policy(lab, lambda d: d.update(models=[rule]))
    found = lab.lifecycle.import_model("uid:0", tiny(lab), None, lambda *_: None)
    assert (found.state, found.code) == ("refused", "evaluation_unsupported")


def test_a_certificate_moves_with_its_task_to_a_site(tmp_path: Path) -> None:
    """Another appliance signed it, on the specification of a person whom this policy knows, too."""
    sim = Simulator()
    sim.policy["keys"] |= policies.bound(EVALUATOR, "evidence of the test host")
    sim.policy["roles"]["evaluator"] = {"keys": [policies.hint(EVALUATOR)], "threshold": 1}
    sim.policy["tasks"] = {"require": ["evaluation"]}
    made = site.make_site(tmp_path, sim, model="orders")
    path = write_task(tmp_path / "orders")
    signing.sign_directory(path, ecdsa.private_pem(policies.PUBLISHER), lambda *_: None)
    with made.services() as services:
        services.lifecycle.import_model("uid:0", path, None, lambda *_: None)
        assert code(lambda: site.approve(services, "orders", "Alice")) == "evaluation_missing"
        elsewhere = {"dataset": "elsewhere", "dataset_digest": DATASET_DIGEST, "name": "Paula"}
        wanted = terms(services, "orders", "orders", **elsewhere)
        now = services.clock.wall_us()
        when = circumstances(
            engine=services.store.evaluations.engine, issued_us=now, valid_until_us=now + 10**12
        )
        unknown = certificate(pairs(400, gained=20), wanted, when, person=STRANGER)
        keep = services.store.evaluations.add
        refused = code(lambda: keep(unknown, load_policy(made.data / "trust")))
        assert refused == "specifier_not_allowed"
        brought = certificate(pairs(400, gained=20), wanted, when)
        services.store.evaluations.add(brought, load_policy(made.data / "trust"))
        site.approve(services, "orders", "Alice", "Bob")
        assert services.store.inventory.record("orders").state == "approved" and use(services)
        own = certificate(pairs(400, gained=20), wanted, when, key=STRANGER)
        unlisted = code(lambda: keep(own, load_policy(made.data / "trust")))
        assert unlisted == "evaluator_not_allowed"
