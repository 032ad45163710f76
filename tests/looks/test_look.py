"""One look, with a judge who judges nothing."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from appliance.app import Services, initialise, open_services
from appliance.datasets import ledger as ledgers
from appliance.datasets.ledger import LedgerLook
from appliance.datasets.marks import SplitMarks
from appliance.errors import ApplianceError, PolicyRefused, StateRefused
from appliance.evals.gate import GateJob
from appliance.jobs.kind import Context
from appliance.looks.look import Judgement, SealedLook
from appliance.looks.subject import LookParts, LookSubject
from appliance.looks.subject import Specified as Params
from appliance.wire.admin.results import LookJudged
from tests.evals.gates import signed, wanted
from tests.smol import SMALL

STATEMENT = signed(wanted()).decode()
ID = hashlib.sha256(base64.b64decode(json.loads(STATEMENT)["payload"])).hexdigest()

MARKS = SplitMarks(frozenset(f"{n:064x}" for n in range(60)), frozenset())
TERMS = SimpleNamespace(
    plan="p", plan_digest="ab" * 32, dataset="set", dataset_digest="cd" * 32, split="test",
    name="publisher", schedule=ledgers.FALLING, alpha_micros=50_000,
)  # fmt: skip
SPLIT = SimpleNamespace(
    part=SimpleNamespace(marks=MARKS, groups=60), seal=SimpleNamespace(schedule=ledgers.FALLING)
)


def subject_of(_: LookParts, envelope: bytes) -> LookSubject[Any]:
    signed = SimpleNamespace(said=TERMS, id=envelope.decode())
    return LookSubject(signed=cast(Any, signed), split=cast(Any, SPLIT))


class Findings(LookJudged):
    reason: str


class Judge(SealedLook[LookSubject[Any], Findings]):
    """Passes all answers; loses a set number of items."""

    name: ClassVar[str] = "plan"
    noun: ClassVar[str] = "plan"
    more: ClassVar[str] = "reason"
    told = Findings
    lost, heard, judged = 0, True, 0

    async def judgement(self, job: Context, subject: LookSubject[Any]) -> Judgement[Findings]:
        look, number = self.take(job, subject, plan_sha256="ef" * 32)
        self.check_asked(job, subject, {"plan": self.lost}, 60, self.heard)
        self.judged += 1
        told = f"look {number}, entry {look.entry}"
        found = Findings(verdict="certified", answer=told, certificate="id", reason="why")
        return Judgement(found, "<p>", STATEMENT, "{}")


class Store:
    def __init__(self) -> None:
        self.kept, self.replays = list[bytes](), dict[str, bytes]()
        self.trusted = True

    def verified(self, envelope: bytes, policy: object) -> Any:
        if not self.trusted:
            raise PolicyRefused("evaluator_not_allowed", "Its key is no evaluator's any more.")
        return SimpleNamespace(id=ID)

    def add(self, envelope: bytes, policy: object) -> Any:
        self.kept.append(envelope)
        return SimpleNamespace(id="id")

    def keep_replay(self, certificate_id: str, answers: bytes) -> None:
        self.replays[certificate_id] = answers


class Specified:
    @staticmethod
    def open(_envelope: bytes) -> Any:
        return SimpleNamespace(said=TERMS)


class Job:
    """A job of the runner, whose process dies where a test says."""

    id, actor = 7, "uid:0"

    def __init__(self, specification: str) -> None:
        self.params = Params(specification)
        self.checkpoint: dict[str, Any] | None = None

    def save(self, checkpoint: dict[str, Any]) -> None:
        self.checkpoint = json.loads(json.dumps(checkpoint))

    async def in_thread(self, work: Callable[..., Any], *args: Any) -> Any:
        return work(*args)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    initialise(tmp_path / "data", "lab", evaluated=True)
    with open_services(tmp_path / "data", config=SMALL) as services:
        yield services


@pytest.fixture
def judge(services: Services) -> Judge:
    parts = cast(GateJob, services.jobs.kind("gate")).parts
    return Judge(parts, cast(Any, Store()), cast(Any, Specified), subject_of)


def entries(services: Services) -> list[dict[str, Any]]:
    found = [dict(entry.body) for entry in services.reader.tail(50)]
    return [body for body in found if str(body.get("action", "")).startswith("plan_")]


async def test_a_look_is_in_the_log_then_judged_and_kept_once(
    services: Services, judge: Judge
) -> None:
    job: Any = Job("ab" * 32)
    result = (await judge.run(job)).document
    assert (result["looks"], result["looks_left"], result["verdict"]) == (1, 3, "certified")
    look, judged, verdict = entries(services)
    assert [e["action"] for e in (look, judged, verdict)] == [
        "plan_look", "plan_judged", "plan_verdict",
    ]  # fmt: skip
    assert (look["plan"], look["plan_digest"], look["look"]) == ("p", "ab" * 32, 1)
    assert (look["share_micros"], look["plan_sha256"]) == (ledgers.FALLING[0], "ef" * 32)
    assert (verdict["ledger_verdict"], verdict["certificate"]) == ("pass", "id")
    assert (verdict["verdict"], verdict["reason"]) == ("certified", "why")
    assert verdict["statement"] == ID and judge.title(job.params) == "p on set"
    assert result["answer"] == f"look 1, entry {look['seq']}"
    store = cast(Store, judge.certificates)
    assert store.kept == [STATEMENT.encode()] and store.replays == {ID: b"{}"}
    assert (await judge.run(job)).document == result  # its process died after it was judged
    assert judge.judged == 1 and len(services.ledger.looks(MARKS)) == 1
    other: Any = Job("cd" * 32)  # its owner may look again
    assert (await judge.run(other)).document["looks"] == 2


async def test_a_look_waits_for_the_other_appliances_and_counts_with_theirs(
    services: Services, judge: Judge
) -> None:
    def unagreed(look: LedgerLook, marks: SplitMarks) -> list[LedgerLook]:
        raise StateRefused("looks_unagreed", "1 of 2 agreed.")

    own, job = judge.parts, cast(Any, Job("ab" * 32))
    judge.parts = replace(own, agreed=unagreed)
    with pytest.raises(StateRefused):
        await judge.run(job)
    assert entries(services) == [] and services.ledger.looks(MARKS) == []
    asked: list[str] = []

    def agreed(look: LedgerLook, marks: SplitMarks) -> list[LedgerLook]:
        asked.append(look.id)
        return [replace(look, id=f"{look.id}@{name}", job=0) for name in "bc"]

    judge.parts = replace(own, agreed=agreed)
    await judge.run(job)
    assert [entry.get("look") for entry in entries(services)] == [3, None, None]
    assert services.ledger.looks(MARKS)[0].share_micros == ledgers.FALLING[2]
    job.checkpoint = None  # its process died before it was judged
    with pytest.raises(ApplianceError):
        await judge.run(job)
    assert asked == ["ab" * 32]  # a look that is taken is not asked about again


async def test_nothing_is_told_of_a_certificate_that_does_not_hold(
    services: Services, judge: Judge
) -> None:
    """The signing key is revoked between judging and the end; a person may allow it again."""
    store, job = cast(Store, judge.certificates), cast(Any, Job("ab" * 32))
    store.trusted = False
    for _ in range(2):
        with pytest.raises(PolicyRefused):
            await judge.run(job)
    assert [e["action"] for e in entries(services)] == ["plan_look", "plan_judged"]
    assert services.ledger.looks(MARKS)[0].verdict == "" and store.kept == []
    store.trusted = True
    assert (await judge.run(job)).document["verdict"] == "certified" and judge.judged == 1


@pytest.mark.parametrize("heard", [True, False])
async def test_too_many_items_that_could_not_be_asked_end_it(
    services: Services, judge: Judge, heard: bool
) -> None:
    """The look counts only if an answer was seen, and no run of the job judges it again."""
    judge.lost, judge.heard = 2, heard
    job: Any = Job("ab" * 32)
    for _ in range(2):
        with pytest.raises(ApplianceError) as caught:
            await judge.run(job)
        assert caught.value.code == "gate_interrupted" and judge.judged == 0
        judge.lost = 0
    (look,) = services.ledger.looks(MARKS)
    assert look.verdict == ("interrupted" if heard else ledgers.UNSPENT)
    assert len(ledgers.spent([look])) == heard
    assert [e["action"] for e in entries(services)] == ["plan_look", "plan_verdict"]
    control: Any = Job("cd" * 32)
    assert (await judge.run(control)).document["verdict"] == "certified"
