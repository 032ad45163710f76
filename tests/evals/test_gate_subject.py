"""Subject of a gate: faults are found before the look, and take none."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec import structs
from msgspec.structs import replace

from appliance.app import Services, initialise, open_services
from appliance.audit.log import Draft
from appliance.clock import FixedClock
from appliance.datasets import directory
from appliance.errors import ApplianceError
from appliance.evals import gate as gates
from appliance.evals import scoring
from appliance.evals.gate_subject import GateSubject, baseline_of
from appliance.tasks import definition
from appliance.tasks.definition import parse
from appliance.trust.artifacts import signing
from appliance.trust.artifacts.store import load_policy
from appliance.trust.bytes import evidence
from appliance.trust.statements.specification import Specification
from tests.evals.gates import FACTS, edited, wanted
from tests.evals.orders import TASK
from tests.evals.sealed import (
    add_dataset,
    add_task,
    envelope,
    sealing_key,
    terms,
    write_dataset,
)
from tests.registry.test_lifecycle import ACTOR
from tests.smol import APPROVERS, SMALL, approve, key, quiet
from tests.trust.test_certified_tasks import change_policy


@pytest.fixture(scope="module")
def lab_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("subjects")
    initialise(root / "data", "lab", evaluated=True)
    with open_services(root / "data", config=SMALL) as services:
        add_task(services, root / "orders")
        add_dataset(services, root / "untouched")
    return root / "data"


@pytest.fixture
def lab(lab_data: Path) -> Iterator[Services]:
    with open_services(lab_data, config=SMALL) as services:
        yield services


async def attempt(services: Services, signed: bytes) -> str:
    with pytest.raises(ApplianceError) as caught:
        live = await services.jobs.start("gate", {"specification": signed.decode()}, "uid:0")
        await live.outcome()
    return caught.value.code


def looked(services: Services) -> int:
    found = [entry.body.get("action") for entry in services.reader.tail(2_000)]
    return found.count("gate_look")


REFUSED: dict[str, tuple[Callable[[Services, Specification], bytes], str]] = {
    "unsigned": (lambda s, t: b"{}", "specification_invalid"),
    "margin edited": (
        lambda s, t: edited(envelope(s, t), lambda d: d["predicate"].update(margin_micros=49_000)),
        "specification_signature",
    ),
    "another's name": (
        lambda s, t: envelope(s, replace(t, name="approver-1")), "specifier_not_allowed",
    ),
    "the root's key": (lambda s, t: envelope(s, t, "root"), "specifier_not_allowed"),
    "milder margin": (
        lambda s, t: envelope(s, replace(t, margin_micros=90_000)), "specification_other",
    ),
    "milder alpha": (
        lambda s, t: envelope(s, replace(t, alpha_micros=90_000)), "specification_other",
    ),
    "more looks": (
        lambda s, t: envelope(s, replace(t, looks=9, schedule=())), "specification_other",
    ),
    "quarters of alpha at a split that spends more first": (
        lambda s, t: envelope(s, replace(t, schedule=())), "specification_other",
    ),
    "nothing against nothing": (
        lambda s, t: envelope(s, replace(t, floors={})), "floor_missing",
    ),
    "a floor of one stratum against nothing": (
        lambda s, t: envelope(s, replace(t, floors={"north": 500_000})), "floor_missing",
    ),
    "another task": (
        lambda s, t: envelope(s, replace(t, task_digest="11" * 32)), "specification_other",
    ),
    "another model": (
        lambda s, t: envelope(s, replace(t, model_digest="11" * 32)), "specification_other",
    ),
    "another dataset": (
        lambda s, t: envelope(s, replace(t, dataset_digest="11" * 32)), "specification_other",
    ),
    "another metric": (
        lambda s, t: envelope(s, replace(t, metric="normalised_match")), "specification_other",
    ),
    "a split that is open": (
        lambda s, t: envelope(s, replace(t, split="certify")), "dataset_not_sealed",
    ),
    "no such pack": (
        lambda s, t: envelope(s, replace(t, packs={"frozen": 1_000})), "specification_other",
    ),
    "no such incumbent": (
        lambda s, t: envelope(s, replace(t, incumbent="nobody")), "unknown_model_id",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_wrong_takes_no_look(lab: Services, case: str) -> None:
    make, code = REFUSED[case]
    assert await attempt(lab, make(lab, terms(lab, "orders", "untouched"))) == code
    assert looked(lab) == 0


async def test_the_control_gets_as_far_as_its_model(lab: Services) -> None:
    good = envelope(lab, terms(lab, "orders", "untouched"))
    assert await attempt(lab, good) == "candidate_fails"
    assert looked(lab) == 0


async def test_a_metric_of_another_form_that_an_older_version_let_in(
    lab: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TASK.split("[output]")[0] + '[output]\nform = "text"\n[gate]' + TASK.split("[gate]")[1]
    text = text.replace("exact_match", "field_accuracy")
    with monkeypatch.context() as older:
        older.setattr(definition, "check_metric", lambda task: None)
        assert add_task(lab, tmp_path / "unfit", text) == "unfit"
    lab.store.check("unfit", load_policy(lab.data / "trust"), quiet)
    signed = envelope(lab, terms(lab, "unfit", "untouched"))
    assert await attempt(lab, signed) == "task_metric_unfit"
    assert looked(lab) == 0


async def test_both_sides_are_measured_by_the_metric_of_the_specification(
    lab: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_task(lab, tmp_path / "loose", TASK.replace("exact_match", "normalised_match"))
    given = terms(lab, "orders", "untouched")
    digest = lab.store.inventory.record("loose").digest
    seen: list[GateSubject] = []
    monkeypatch.setattr(gates, "check_items", lambda parts, subject: seen.append(subject))
    against = replace(given, incumbent="loose", incumbent_digest=digest or "")
    assert await attempt(lab, envelope(lab, against)) == "candidate_fails"
    (subject,) = seen
    assert subject.incumbent is not None
    sides = (subject.loaded.task, subject.incumbent.task)
    assert [scoring.score(task, "engine", "Engine.") for task in sides] == [0, 0]
    own = parse(TASK.replace("exact_match", "normalised_match").encode())
    assert scoring.score(own, "engine", "Engine.") == 1  # the control


async def test_an_item_that_does_not_fit_takes_no_look_and_is_not_told(
    lab: Services, tmp_path: Path
) -> None:
    path = tmp_path / "secret-set"
    write_dataset(path)
    lines = (path / "test.jsonl").read_text().splitlines()
    odd = {**json.loads(lines[7]), "id": "case-of-mister-x", "expected": "embezzlement"}
    (path / "test.jsonl").write_text("\n".join([*lines[:7], json.dumps(odd), *lines[8:]]) + "\n")
    directory.seal(path, directory.read(path), sealing_key(lab))
    signing.sign_directory(path, key(lab.data, "publisher"), quiet)
    lab.lifecycle.import_model(ACTOR, path, None, quiet)
    approve(lab, "secret-set", *APPROVERS)
    signed = envelope(lab, terms(lab, "orders", "secret-set"))
    live = await lab.jobs.start("gate", {"specification": signed.decode()}, "uid:0")
    with pytest.raises(ApplianceError) as caught:
        await live.outcome()
    assert caught.value.code == "sealed_item_unfit" and "1 of 52 " in caught.value.message
    told = caught.value.message + str([dict(e.body) for e in lab.reader.tail(2_000)])
    assert "mister-x" not in told and "embezzlement" not in told
    assert looked(lab) == 0


async def test_a_policy_may_bound_a_years_false_certificates(
    lab: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: a policy without the limit."""
    change_policy(lab, lambda d: d.setdefault("tasks", {}).update(yearly_delta=0.1))
    old = wanted(alpha_micros=60_000)
    monkeypatch.setattr(
        lab.store.evaluations, "passed_since", lambda _since, _policy: [SimpleNamespace(wanted=old)]
    )
    good = terms(lab, "orders", "untouched")
    assert await attempt(lab, envelope(lab, good)) == "yearly_delta_spent"
    smaller = envelope(lab, replace(good, alpha_micros=40_000))
    assert await attempt(lab, smaller) == "candidate_fails"  # as far as its model
    passed = [SimpleNamespace(wanted=good)]  # of this very look: its job goes on after a crash
    monkeypatch.setattr(lab.store.evaluations, "passed_since", lambda _since, _policy: passed)
    change_policy(lab, lambda d: d["tasks"].update(yearly_delta=0.06))
    assert await attempt(lab, envelope(lab, good)) == "candidate_fails"
    change_policy(lab, lambda d: d["tasks"].pop("yearly_delta"))
    assert await attempt(lab, envelope(lab, good)) == "candidate_fails"


async def test_an_open_dataset_has_nothing_to_open(lab: Services, tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "open-set")
    signing.sign_directory(path, key(lab.data, "publisher"), quiet)
    lab.lifecycle.import_model(ACTOR, path, None, quiet)
    approve(lab, "open-set", *APPROVERS)
    signed = envelope(lab, terms(lab, "orders", "open-set"))
    assert await attempt(lab, signed) == "dataset_not_sealed"


async def test_a_dataset_that_is_not_approved_is_not_opened(lab: Services, tmp_path: Path) -> None:
    add_dataset(lab, tmp_path / "suspended")
    await lab.pool.suspend(ACTOR, "suspended", "labels are doubted")
    signed = envelope(lab, terms(lab, "orders", "suspended"))
    assert await attempt(lab, signed) == "not_approved"
    assert looked(lab) == 0


async def test_an_evidence_key_that_no_policy_lists_takes_no_look(lab: Services) -> None:
    file = evidence.path(lab.data)
    kept = file.read_bytes()
    file.unlink()
    try:
        signed = envelope(lab, terms(lab, "orders", "untouched"))
        assert await attempt(lab, signed) == "evaluator_not_allowed"
    finally:
        file.write_bytes(kept)
    assert looked(lab) == 0


async def test_a_clock_that_is_behind_takes_no_look(tmp_path: Path) -> None:
    clock = FixedClock()
    initialise(tmp_path / "data", "lab", clock, evaluated=True)
    with open_services(tmp_path / "data", config=SMALL, clock=clock) as services:
        add_task(services, tmp_path / "orders")
        add_dataset(services, tmp_path / "set")
        signed = envelope(services, terms(services, "orders", "set"))
        clock.advance(86_400)
        services.audit.append(Draft("admin", {"action": "note", "actor": "uid:0"})).result()
        clock.advance(-86_400)
        assert await attempt(services, signed) == "clock_behind"
        assert looked(services) == 0


def test_the_first_incumbent_is_what_the_task_declares() -> None:
    for form, baseline, first in (
        ("labels", None, "majority"), ("labels", "", "majority"), ("fields", "", "none"),
        ("labels", "logistic regression", "logistic regression"),
    ):  # fmt: skip
        assert baseline_of(structs.replace(FACTS, form=form, baseline=baseline)) == first
