"""The tasks screen's words."""

import pytest

from appliance.wire.admin.gates import Certificate
from appliance.wire.admin.models import Approval, Model, ModelDetail
from appliance.wire.admin.pointers import Name
from tui.text import line
from tui.view import tasks as view
from tui.view.life import Lives

FACTS = {
    "kind": "task", "name": "t", "version": 3, "model": "smollm2-135m", "model_digest": "cd" * 32,
    "form": "labels", "metric": "exact_match", "description": "Order to system.",
}  # fmt: skip


def detail(**changes: object) -> ModelDetail:
    plain = {"id": "t", "state": "approved", "digest": "ab" * 32, "facts": FACTS}
    return ModelDetail.model_validate({**plain, **changes})


NOTHING = Lives()


def shown(task: ModelDetail, evidence: Lives = NOTHING) -> str:
    return "\n".join(part.plain for part in view.detail(task, evidence, 100))


def certificate(**changes: object) -> Certificate:
    plain = {
        "id": "5d" * 32, "task": "t", "task_digest": "ab" * 32, "dataset": "orders",
        "verdict": "pass", "metric": "exact_match", "incumbent": "majority", "groups": 481,
        "interval": "tango", "issued": "2026-11-17T09:00:00Z",
        "valid_until": "2027-11-17T09:00:00Z", "usable": True, "why": "",
    }  # fmt: skip
    return Certificate.model_validate({**plain, **changes})


def name(**changes: object) -> Name:
    version = {"task": "other", "digest": "cd" * 32}
    pointer = {
        "id": "77" * 32, "live": version, "person": "anna", "reason": "read",
        "time": "2026-11-18T11:00:00Z", **changes,
    }  # fmt: skip
    return Name.model_validate({"name": "orders", "serves": True, "pointers": [pointer]})


def test_its_newest_evaluation_and_how_long_it_holds() -> None:
    old, other = certificate(id="11" * 32), certificate(task_digest="99" * 32, groups=7)
    said = shown(detail(), Lives((old, certificate(), other)))
    assert "+ pass  481 groups of orders, against majority" in said
    assert (
        "until 2027-11-17" in said and "5d5d" in said and "1111" not in said and "7 gr" not in said
    )
    void = certificate(usable=False, why="It is for another engine.")
    assert "! It is for another engine." in shown(detail(), Lives((void,)))
    assert "evaluated" not in shown(detail(), Lives((other,)))


def test_the_names_under_which_it_answers() -> None:
    mine = {"task": "t", "digest": "ab" * 32}
    assert "orders" not in shown(detail(), Lives(names=(name(),)))
    assert "+ live" in shown(detail(), Lives(names=(name(live=mine),)))
    canary = shown(detail(), Lives(names=(name(canary=mine, percent=10),)))
    assert "canary, 10 % of the apps" in canary and "by anna" in canary
    tally = {"same": 90, "differs": 2, "failed": 1}
    shadow = shown(detail(), Lives(names=(name(shadow=mine, compared=tally),)))
    assert "90 answers the same, 2 differ, 1 failed" in shadow


def test_a_row_has_a_cell_for_each_column_and_what_is_not_known_is_no_guess() -> None:
    listed = Model(id="t", state="approved", digest="ab" * 32)
    known = view.row(listed, detail(approvals_needed=2), NOTHING, 0.0)
    assert len(known) == len(view.COLUMNS)
    said = line(*known).plain
    assert said.startswith("t  + approved  -  -  -  -  smollm2-135m  0 of 2")
    assert list(view.row(listed, None, NOTHING, 0.0))[6:8] == ["-", "-"]


def test_the_task_with_model_metric_and_approvals() -> None:
    signed = Approval(name="anna", meaning="measured", time="2026-11-18T10:00:00Z")
    said = shown(detail(approvals=[signed], approvals_needed=2, actions=["load", "suspend"]))
    for words in ("Order to system.", "labels", "exact match", "smollm2-135m", "cd" * 8, "ab" * 32,
                  "version 3", "anna", "measured", "1 of 2 needed", "Apps name it"):  # fmt: skip
        assert words in said, words


@pytest.mark.parametrize("state", ["verified", "suspended", "quarantined", "retired", "revoked"])
def test_every_state_says_what_comes_next(state: str) -> None:
    assert "what to do" in shown(detail(state=state))


def test_a_refusal_is_told_in_words() -> None:
    said = shown(detail(state="refused", code="task_invalid", message="No.", hint="Correct it."))
    assert "task_invalid: No." in said and "Correct it." in said


def test_the_summary() -> None:
    tasks = [
        Model(id="a", state="approved", digest=None),
        Model(id="b", state="refused", digest=""),
    ]
    assert view.summary(tasks, 2).plain == "2 tasks  1 approved"
    assert view.summary(tasks, 1).plain.endswith("1 shown")
