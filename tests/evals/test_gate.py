"""The gate, over the real model: one look, a verdict that follows, and a job that may be killed."""

import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

import appliance
from appliance.app import Services, open_services
from appliance.audit.files import LogFiles
from appliance.datasets import ledger as ledgers
from appliance.datasets import sealing
from appliance.datasets.items import Item
from appliance.errors import ApplianceError, EvaluationRefused
from appliance.evals import gate as gates
from appliance.evals import judging, scoring
from appliance.evals.asking import Asking
from appliance.evals.gate import GateJob
from appliance.evals.gate_outcomes import read_pairs
from appliance.evals.job import DIRECTORY
from appliance.evals.outcomes import Outcome
from appliance.evals.packs.items import FILES, PINS, items
from appliance.facts import TaskFacts
from appliance.host import at_rest
from appliance.jobs.kind import Stop
from appliance.looks import answers
from appliance.looks.answers import SealedAnswers
from appliance.looks.subject import Specified
from appliance.trust.artifacts import signing
from appliance.trust.artifacts.store import load_policy
from appliance.trust.bytes import durable
from appliance.trust.statements import evaluation
from appliance.trust.statements.specification import Specification
from tests.evals.orders import TASK, write_task
from tests.evals.sealed import GROUPS, add_dataset, add_task, envelope, terms
from tests.jobs.shop import Heavy
from tests.smol import APPROVERS, ID, SMALL, approve, key, make_data, quiet, sealed
from tests.tasks.example import CLASSIFIER, coefficients

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def lab_data(tmp_path_factory: pytest.TempPathFactory, narrow_path: Path) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("gate")
    data = make_data(root, narrow_path, evaluated=True)
    with open_services(data, config=SMALL) as services:
        add_task(services, root / "orders", model=ID)
        later = TASK.replace("version = 1", "version = 2")
        add_task(services, root / "next", later, model=ID)
        other = later.replace('id = "excavator-system"', 'id = "another"')
        assert other != later
        add_task(services, root / "other", other, model=ID)
        fitted = write_task(
            root / "fitted",
            CLASSIFIER.replace(', "electrical"', ""),
            classifier_json=coefficients("electrical"),
        )
        signing.sign_directory(fitted, key(data, "publisher"), quiet)
        services.lifecycle.import_model("uid:0", fitted, None, quiet)
        for name in (
            "passing", "failing", "killed", "twice", "untouched", "plain", "lost", "same",
            "upgraded",
        ):  # fmt: skip
            add_dataset(services, root / name)
    yield data
    shutil.rmtree(root)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab(lab_data: Path) -> AsyncIterator[Services]:
    with open_services(lab_data, config=SMALL) as services:
        await services.supervisor.start(sealed(services))
        yield services
        await services.inference.drain(30)
        await services.supervisor.close()


async def run(services: Services, wanted: Specification) -> dict[str, Any]:
    params = {"specification": envelope(services, wanted).decode()}
    live = await services.jobs.start("gate", params, "uid:0")
    return {**(await live.outcome()).document, "job": live.job.id}


def entries(services: Services, action: str) -> list[dict[str, Any]]:
    found = [dict(entry.body) for entry in services.reader.tail(2_000)]
    return [body for body in found if body.get("action") == action]


def looks(services: Services, data: str) -> int:
    with services.store.inventory.open(data) as artifact:
        seal = sealing.parse(artifact.prefix(sealing.FILE, 1 << 20))
    return len(services.ledger.looks(seal.parts["test"].marks))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "pack_items", lambda name: items(name)[:8])


async def test_a_pass_is_certified_and_then_the_task_serves(lab: Services, few: None) -> None:
    with pytest.raises(ApplianceError) as caught:
        approve(lab, "orders", *APPROVERS)
    assert caught.value.code == "evaluation_missing"
    result = await run(lab, terms(lab, "orders", "passing", packs={"general": 1_000}))
    assert result["verdict"] == "pass" and result["groups"] == GROUPS
    assert (result["candidate"], result["incumbent"]) == (ID, "none")
    assert (result["looks"], result["looks_left"]) == (1, 3)  # for this task alone
    certificate = lab.store.evaluations.envelope(result["certificate"])
    found = evaluation.verify(certificate, load_policy(lab.data / "trust"))
    kek = LogFiles(lab.data / "audit").key_encryption_key()
    outcomes = read_pairs(lab.data / DIRECTORY, result["job"], kek)
    pack = found.found.packs["general"]
    assert (pack.items, pack.sha256) == (8, PINS[FILES["general"]]) and pack.right > 0
    assert judging.judged_again(found, outcomes) == found.found
    (look,) = [e for e in entries(lab, "gate_look") if e["job"] == result["job"]]
    assert (look["look"], look["dataset"], look["groups"]) == (1, "passing", GROUPS)
    assert found.circumstances.entry == look["seq"]
    asked = [e for e in lab.reader.tail(2_000) if e.body.get("key_id") == "evaluation"]
    prefix = f"gate-{result['job']}-0-"
    own = [e.seq for e in asked if str(e.body["request_id"]).startswith(prefix)]
    assert own and min(own) > look["seq"]
    place = lab.data / DIRECTORY / str(result["job"])
    written = b"".join(p.read_bytes() for p in place.iterdir())
    assert not any(pair.item.encode() in written for pair in outcomes)  # items stay encrypted
    page = at_rest.read(place / "report.html").decode()
    assert page.index("logistic regression") < page.index("incumbent: none")
    approve(lab, "orders", *APPROVERS)
    assert lab.store.inventory.record("orders").state == "approved"
    with pytest.raises(ApplianceError) as caught:
        await run(lab, terms(lab, "other", "passing"))
    assert caught.value.code == "looks_spent"
    assert result["alpha_left"] == pytest.approx(0.05 * 0.3)
    ids = [str(e.body["request_id"]) for e in asked]
    assert not any(pair.item in name for pair in outcomes for name in ids)  # ids are keyed
    ended = [e.body for e in asked if str(e.body["request_id"]).startswith(prefix)]
    sizes = {(b["bytes"], b["completion_tokens"]) for b in ended if "bytes" in b}
    assert len(sizes) == 1  # no size tells which label was answered
    with pytest.raises(ApplianceError) as caught:  # a classifier writes nothing
        await run(lab, terms(lab, "fitted", "plain", packs={"general": 1_000}))
    assert caught.value.code == "specification_other"
    assert looks(lab, "passing") == 1


async def test_a_classifier_passes_the_gate_without_a_model(lab: Services) -> None:
    facts = lab.store.inventory.record("fitted").facts
    assert isinstance(facts, TaskFacts)
    assert (facts.needs, facts.model) == ("", "classifier")
    lab.jobs.add(training := Heavy())
    training.gate.clear()
    long = await lab.jobs.start("heavy", {"to": 1}, "uid:0")
    result = await run(lab, terms(lab, "fitted", "plain"))
    assert not long.over  # a gate without an engine waits for no work that has one
    training.gate.set()
    await long.outcome()
    gate = lab.jobs.kind("gate")
    for task, packs in (("orders", {}), ("fitted", {"general": 1_000}), ("gone", {})):
        asked = msgspec.structs.replace(terms(lab, "fitted", "plain", packs=packs), task=task)
        assert gate.engine(Specified(envelope(lab, asked).decode())), task
    assert (result["verdict"], result["candidate"]) == ("pass", "classifier")
    certificate = lab.store.evaluations.envelope(result["certificate"])
    found = evaluation.verify(certificate, load_policy(lab.data / "trust"))
    assert found.wanted.model_digest == facts.model_digest
    assert found.circumstances.template_sha256 == ""
    approve(lab, "fitted", *APPROVERS)
    assert lab.store.inventory.record("fitted").state == "approved"


async def test_a_failure_is_no_certificate_and_leaves_looks(lab: Services, few: None) -> None:
    packs = {"general": 999_999}
    wanted = terms(
        lab, "orders", "failing", incumbent="logistic regression", items="one", packs=packs
    )
    result = await run(lab, wanted)
    assert result["packs"]["general"]["verdict"] == "fail"
    assert result["verdict"] == "fail" and result["certificate"] is None
    assert result["looks_left"] == 3 and result["advice"] == 1
    assert result["alpha_left"] == pytest.approx(0.05 * 0.3)
    statement = lab.store.evaluations.envelope(result["statement"])
    found = evaluation.verify(statement, load_policy(lab.data / "trust"))
    assert found.found.verdict == "fail"
    with pytest.raises(ApplianceError) as caught:  # the same specification again
        params = {"specification": envelope(lab, wanted).decode()}
        await (await lab.jobs.start("gate", params, "uid:0")).outcome()
    assert caught.value.code == "specification_used"
    assert looks(lab, "failing") == 1


@pytest.mark.parametrize("answered", [0, 1])
async def test_too_many_failures_of_ours_end_a_gate_without_a_verdict(
    lab: Services, monkeypatch: pytest.MonkeyPatch, answered: int
) -> None:
    """With 52 of 52 the look is not spent; one answer that was seen spends it."""
    real, seen = Asking.outcome, 0

    async def lost(self: Asking, one: Item) -> Outcome:
        nonlocal seen
        found = await real(self, one)
        if not one.id.startswith("test"):
            return found
        seen += 1
        if seen <= answered:
            return found
        return replace(found, answer=None, micros=0, failure="worker_lost")

    monkeypatch.setattr(Asking, "outcome", lost)
    with pytest.raises(EvaluationRefused) as caught:
        await run(lab, terms(lab, "orders", "lost"))
    assert caught.value.code == "gate_interrupted"
    told = entries(lab, "gate_verdict")[-1]
    assert told["verdict"] == ("interrupted" if answered else "unspent")
    with lab.store.inventory.open("lost") as artifact:
        seal = sealing.parse(artifact.prefix(sealing.FILE, 1 << 20))
    left = ledgers.remaining(lab.ledger.looks(seal.parts["test"].marks), seal.schedule)
    assert left == (ledgers.FALLING[1:] if answered else ledgers.FALLING)


async def test_invalid_outputs_of_the_candidate_fail(
    lab: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: as many failures, the candidate's own."""
    real = Asking.outcome

    async def invalid(self: Asking, one: Item) -> Outcome:
        found = await real(self, one)
        if not one.id.startswith("test"):
            return found
        return replace(found, answer=None, micros=0, failure="output_invalid")

    monkeypatch.setattr(Asking, "outcome", invalid)
    result = await run(lab, terms(lab, "orders", "lost", incumbent="majority"))
    assert result["verdict"] == "fail" and result["unasked"] == 0


async def test_a_model_that_does_not_answer_takes_no_look(lab: Services, tmp_path: Path) -> None:
    long = TASK.replace('user = "', 'user = "' + "x " * 600)
    task = add_task(lab, tmp_path / "big", long, model=ID)
    with pytest.raises(EvaluationRefused) as caught:
        await run(lab, terms(lab, task, "untouched"))
    assert caught.value.code == "candidate_fails"
    assert looks(lab, "untouched") == 0


class Killed(BaseException):
    pass


class Job:
    actor, resumed, created_us = "uid:0", False, 0

    def __init__(self, number: int, params: dict[str, Any]) -> None:
        self.id, self.params = number, msgspec.convert(params, Specified)
        self.checkpoint: dict[str, Any] | None = None

    def report(self, _phase: str, _done: int, _total: int) -> None: ...

    def check(self) -> None: ...

    def save(self, checkpoint: dict[str, Any]) -> None:
        self.checkpoint = json.loads(json.dumps(checkpoint))

    async def unless_stopped(self, work: Any) -> Any:
        return await work

    async def in_thread(self, work: Any, *args: Any) -> Any:
        return work(*args)


def dying(real: Callable[..., Any], first: bool) -> Callable[..., Any]:
    """A step in which the process dies: before or after all of it."""

    def step(*args: Any) -> Any:
        if not first:
            real(*args)
        raise Killed

    return step


STEPS: tuple[tuple[Any, str], ...] = (
    ("kind", "_subject_of"), (gates, "check_items"), ("ledger", "take"), (gates, "opened"),
    (SealedAnswers, "append"), (gates, "write_pairs"), (gates, "_concluded"), (Job, "save"),
    (durable, "replace"), ("evaluations", "add"), ("ledger", "conclude"),
)  # fmt: skip


async def test_killed_at_any_step_the_look_counts_once_and_the_verdict_is_the_same(
    lab: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = lab.jobs.kind("gate")
    assert isinstance(kind, GateJob)
    wanted = terms(lab, "orders", "killed")
    job: Any = Job(4_711, {"specification": envelope(lab, wanted).decode()})
    deaths = 0
    places = {"kind": kind, "ledger": lab.ledger, "evaluations": lab.store.evaluations}
    for owner, name in STEPS:
        place = places[owner] if isinstance(owner, str) else owner
        for first in (True, False):
            with monkeypatch.context() as patched:
                patched.setattr(place, name, dying(getattr(place, name), first))
                with pytest.raises(Killed):
                    await kind.run(job)
            deaths += 1
            assert looks(lab, "killed") <= 1
    result = (await kind.run(job)).document
    again = (await kind.run(job)).document
    assert deaths == 2 * len(STEPS) and result == again
    assert looks(lab, "killed") == 1 and result["looks"] == 1
    kept = [i for i, _ in lab.store.evaluations.all() if i == result["certificate"]]
    assert result["verdict"] == "pass" and len(kept) == 1
    kek = LogFiles(lab.data / "audit").key_encryption_key()
    outcomes = read_pairs(lab.data / DIRECTORY, job.id, kek)
    assert len({p.item for p in outcomes}) == len(outcomes) == GROUPS
    certificate = lab.store.evaluations.envelope(result["certificate"])
    found = evaluation.verify(certificate, load_policy(lab.data / "trust"))
    assert judging.judged_again(found, outcomes) == found.found


@pytest.mark.parametrize(("data", "mixed"), [("upgraded", False), ("same", True)])
async def test_answers_that_another_release_scored_are_asked_for_again(
    lab: Services, monkeypatch: pytest.MonkeyPatch, data: str, mixed: bool
) -> None:
    """Control: the same release keeps its answers."""
    monkeypatch.setattr(answers, "BATCH", 20)
    job: Any = Job(
        4_713 + mixed, {"specification": envelope(lab, terms(lab, "fitted", data)).decode()}
    )
    kind, stops = lab.jobs.kind("gate"), iter((False, False, True))

    def stopping(phase: str, _done: int, _total: int) -> None:
        if phase == "fitted" and next(stops, False):
            raise Stop("job_interrupted", "The server ended.")

    job.report = stopping
    with monkeypatch.context() as before:
        before.setattr(scoring, "score", lambda *_: 0.25)
        with pytest.raises(Stop):
            await kind.run(job)
    if not mixed:
        monkeypatch.setattr(appliance, "__version__", "9.9")
    await kind.run(job)
    kek = LogFiles(lab.data / "audit").key_encryption_key()
    scores = [p.candidate for p in read_pairs(lab.data / DIRECTORY, job.id, kek)]
    assert (scores.count(250_000), len(scores)) == (40 if mixed else 0, GROUPS)
    assert looks(lab, data) == 1


@pytest.mark.slow
async def test_a_pause_in_the_middle_is_resumed_at_the_item(
    lab: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "BATCH", 20)
    kind = lab.jobs.kind("gate")
    wanted = terms(lab, "orders", "twice", incumbent="majority")
    job: Any = Job(4_712, {"specification": envelope(lab, wanted).decode()})
    asked: list[str] = []
    real = Asking.outcome

    async def counted(self: Any, one: Any) -> Any:
        asked.append(one.id)
        return await real(self, one)

    monkeypatch.setattr(Asking, "outcome", counted)
    reports = 0

    def stopping(_phase: str, _done: int, _total: int) -> None:
        nonlocal reports
        reports += 1
        if reports == 4:
            raise Stop("job_interrupted", "The server ended.")

    job.report = stopping
    with pytest.raises(Stop):
        await kind.run(job)
    result = await kind.run(job)
    tests = [name for name in asked if name.startswith("test")]
    assert len(tests) == len(set(tests)) == GROUPS
    assert result["looks"] == 1 and looks(lab, "twice") == 1
