"""What the tasks screen says."""

import pytest

from appliance.wire.admin.models import Approval, Model, ModelDetail
from tui.text import line
from tui.view import tasks as view

FACTS = {
    "kind": "task", "version": 3, "model": "smollm2-135m", "model_digest": "cd" * 32,
    "form": "labels", "metric": "exact_match", "description": "Order to system.",
}  # fmt: skip


def detail(**changes: object) -> ModelDetail:
    plain = {"id": "t", "state": "approved", "digest": "ab" * 32, "facts": FACTS}
    return ModelDetail.model_validate({**plain, **changes})


def shown(task: ModelDetail) -> str:
    return "\n".join(part.plain for part in view.detail(task, 100))


def test_a_row_has_a_cell_for_each_column_and_what_is_not_known_is_no_guess() -> None:
    listed = Model(id="t", state="approved", digest="ab" * 32)
    known = view.row(listed, detail(approvals_needed=2))
    assert len(known) == len(view.COLUMNS)
    assert line(*known).plain.split()[:6] == ["t", "+", "approved", "labels", "smollm2-135m", "0"]
    assert list(view.row(listed, None))[2:5] == ["-", "-", "-"]


def test_the_task_with_model_metric_and_approvals() -> None:
    signed = Approval(name="anna", meaning="measured", time="2026-11-18T10:00:00Z")
    said = shown(detail(approvals=[signed], approvals_needed=2, actions=["load", "suspend"]))
    for words in ("Order to system.", "labels", "exact match", "smollm2-135m", "cd" * 8, "ab" * 32,
                  "version 3", "anna", "measured", "1 of 2 needed", "Apps name it"):  # fmt: skip
        assert words in said, words
    assert "allows      suspend" in said  # a task is not loaded


@pytest.mark.parametrize("state", ["verified", "suspended", "quarantined", "retired", "revoked"])
def test_every_state_says_what_comes_next(state: str) -> None:
    assert "what to do" in shown(detail(state=state))


def test_a_refusal_is_told_in_words() -> None:
    said = shown(detail(state="refused", code="task_invalid", message="No.", hint="Correct it."))
    assert "task_invalid: No." in said and "Correct it." in said and "nothing" in said


def test_the_summary() -> None:
    tasks = [
        Model(id="a", state="approved", digest=None),
        Model(id="b", state="refused", digest=""),
    ]
    assert view.summary(tasks, 2).plain == "2 tasks  1 approved"
    assert view.summary(tasks, 1).plain.endswith("1 shown")
