"""A task's life on one screen."""

from appliance.wire.admin.gates import Certificate, Ledger
from appliance.wire.admin.models import ModelDetail
from tests.tui.scripted import WALL, evaluation
from tests.tui.staging import _LEDGERS, DRIFTS, ROUTES
from tests.tui.view.test_tasks import certificate, name
from tui.view.life import Lives, following, steps, whole

TASK = ModelDetail.model_validate(
    {"id": "excavator-system", "state": "approved", "digest": "ab" * 32}
)
MEASURED = Lives(
    certificates=(certificate(task="excavator-system"),),
    ledgers=tuple(_LEDGERS),
    evaluations=(evaluation(19),),
    drift=dict(DRIFTS),
)


def told(known: Lives, task: ModelDetail = TASK) -> dict[str, str]:
    return {step.name: step.verdict.plain for step in steps(task, known)}


def test_each_step_has_its_verdict_its_value_with_interval_and_age() -> None:
    assert told(MEASURED) == {
        "data": "7 looks left", "evaluation": "best: logistic regression", "gate": "+ pass",
        "route": "-", "drift": "+ watching",
    }  # fmt: skip
    shown = "\n".join(row.plain for row in whole(TASK, MEASURED, WALL, 120, ascii_only=True))
    for words in ("0.691 (0.641 to 0.737)", "O", "481 groups, against majority", "1 d", "31 weeks"):
        assert words in shown, words


def test_what_comes_next_is_named_step_by_step() -> None:
    assert following(TASK, Lives()) == "appliance eval run TASK --data DATASET"
    only = Lives(evaluations=(evaluation(19),))
    assert following(TASK, only) == "appliance eval gate"
    assert following(TASK, MEASURED) == "appliance task promote NAME TASK"
    mine = {"task": "excavator-system", "digest": "ab" * 32}
    live = Lives(**{**vars(MEASURED), "names": (name(live=mine),)})
    assert following(TASK, live) == "" and told(live)["route"] == "+ live"
    alarmed = Lives(**{**vars(live), "drift": {"excavator-system": DRIFTS["order-fields"]}})
    assert following(TASK, alarmed) == "look at drift: d"


def test_pass_fail_and_underpowered_are_three_things() -> None:
    look = _LEDGERS[1].splits[0].looks[0]
    for verdict, mark in (("pass", "+"), ("fail", "!"), ("underpowered", "~")):
        split = (
            _LEDGERS[1]
            .splits[0]
            .model_copy(update={"looks": [look.model_copy(update={"verdict": verdict})]})
        )
        ledger = Ledger(dataset="notes", splits=[split])
        task = TASK.model_copy(update={"id": "order-fields"})
        assert told(Lives(ledgers=(ledger,)), task)["gate"] == f"{mark} {verdict}"
    void = Certificate.model_validate({**certificate().model_dump(), "usable": False, "why": "old"})
    assert following(TASK, Lives(certificates=(void,), evaluations=(evaluation(1),))) == (
        "old: measure again"
    )


def test_a_route_says_its_coverage_and_its_bound_or_why_not() -> None:
    small = TASK.model_copy(update={"id": "licences-small"})
    known = Lives(routes=tuple(ROUTES))
    step = steps(small, known)[3]
    assert step.verdict.plain == "+ approved" and step.value == "licences 87 %, error at most 4.6 %"
    other = steps(TASK.model_copy(update={"id": "excavator-2"}), known)[3]
    assert other.verdict.plain == "! unapproved" and "unstable over time" in other.value
