"""The evaluations screen's words."""

from typing import Any

from appliance.wire.admin.gates import Ledger
from tests.tui.scripted import WALL, candidate, evaluation
from tests.tui.staging import _LEDGERS
from tui.text import line
from tui.view import evaluations as view


def shown(width: int = 120, *, ascii_only: bool = True, **changes: Any) -> str:
    made = evaluation(7, **changes)
    said = view.detail(made, WALL, width, ascii_only=ascii_only)
    return "\n".join(part.plain for part in said)


def test_a_row_has_a_cell_for_each_column() -> None:
    made = view.row(evaluation(7), "", WALL, ascii_only=True)
    assert len(made) == len(view.COLUMNS)
    said = line(*made).plain
    assert "best: logistic regression" in said
    assert "0.691 (0.641 to 0.737)" in said


def test_the_verdict_of_a_gate_is_in_the_list_and_each_looks_different() -> None:
    for verdict, shown_as in (
        ("pass", "+ pass"), ("fail", "! fail"), ("underpowered", "~ underpowered"),
    ):  # fmt: skip
        listed = evaluation(7, kind="gate", result=None)
        assert shown_as in line(*view.row(listed, verdict, WALL, ascii_only=True)).plain
    running = evaluation(7, state="running", result=None)
    assert "~ " not in line(*view.row(running, "", WALL, ascii_only=True)).plain
    assert view.verdicts(_LEDGERS) == {18: "pass", 17: "underpowered"}


def test_candidates_stand_by_score_with_interval_groups_and_speed() -> None:
    said = shown()
    rows = said.splitlines()
    names = [row.split("  ")[0] for row in rows[3:]]
    assert names == [
        "logistic regression", "logistic regression, n=100", "majority", "smollm2-135m",
    ]  # fmt: skip
    for words in ("n = 317 groups", "548 items", "exact match on dev", "labels agree 80.7 %",
                  "0.641 to 0.737", "-O-", "0.122", "2.18"):  # fmt: skip
        assert words in said, words
    assert rows[-1].split()[-1] == "3"  # its timeouts are counted
    assert "⠒" in shown(ascii_only=False)


def test_an_interval_is_drawn_on_the_scale_from_0_to_1() -> None:
    result = {**evaluation(7).told, "candidates": [candidate("half", 0.5, 0.0, 1.0, 1.0)]}
    assert "-" * 11 + "O" + "-" * 10 in shown(result=result)


def test_where_there_is_no_room_score_and_speed_stay() -> None:
    said = shown(60)
    assert "0.691" in said and "554" in said and "-O-" not in said


def test_without_a_result_it_says_how_far_it_is() -> None:
    progress = {"phase": "smol", "done": 30, "total": 120, "unit": "items", "rate": 2.0}
    said = shown(state="running", result=None, progress=progress)
    assert "smol, 30 of 120, 2.0 items/s" in said
    assert "n = " not in said


def test_the_whole_has_comparisons_and_digests() -> None:
    said = "\n".join(p.plain for p in view.whole(evaluation(7), WALL, 120, ascii_only=True))
    for words in ("-56.9", "-62.0 to -51.0", "12", "324", "ab" * 32, "evaluation 7"):
        assert words in said, words
    failed = evaluation(7, state="failed", result=None, code="item_unfit", message="No.")
    told = "\n".join(p.plain for p in view.whole(failed, WALL, 80, ascii_only=True))
    assert "item_unfit: No." in told


def test_a_result_of_another_form_is_shown_as_far_as_it_is_understood() -> None:
    for result in (
        {"answer": 5, "candidates": "none"},
        {"candidates": [{"name": 1, "quality": "high", "interval": 3}], "digests": []},
        {"candidates": [7], "comparisons": {"a": 1}, "items": None},
    ):
        assert shown(result=result)
        assert view.whole(evaluation(7, result=result), WALL, 80, ascii_only=True)


GATE: dict[str, Any] = {
    "verdict": "fail", "answer": "Fail: the floor of pack general is not reached.",
    "difference": 0.01, "interval": [-0.03, 0.04], "margin": 0.05, "groups": 455, "looks": 1,
    "looks_left": 3, "advice": 0.73, "floors": {"": "pass"}, "certificate": None,
    "packs": {"general": {"right": 20, "items": 80, "floor": 500_000, "verdict": "fail"}},
}  # fmt: skip


def test_a_gate_has_its_verdict_its_coarse_interval_and_the_looks_left() -> None:
    for said in (
        shown(kind="gate", result=GATE),
        "\n".join(
            part.plain
            for part in view.whole(
                evaluation(7, kind="gate", result=GATE), WALL, 120, ascii_only=True
            )
        ),
    ):
        for words in ("Fail: the floor of pack general", "+1.0 points, -3.0 to +4.0", "margin 5",
                      "455 groups", "1 taken, 3 left", "20 of 80 right", "the whole", "73 %",
                      "none"):  # fmt: skip
            assert words in said, (words, said)
    assert shown(kind="gate", result={"verdict": 3, "packs": {"general": 1}, "floors": []})
    assert "none where both agree: 420 items" in shown(kind="gate", result=GATE | {"agreed": 420})


def test_the_ledger_by_dataset() -> None:
    look = {"taken": "2026-11-18T12:00:00Z", "task": "orders-1", "verdict": "fail",
            "person": "Paula", "dataset": "orders"}  # fmt: skip
    splits = [
        {"split": "certify", "groups": 284, "left": 4, "looks": []},
        {"split": "test", "groups": 455, "left": 0, "looks": [look] * 4},
    ]
    found = Ledger.model_validate({"dataset": "orders", "splits": splits})
    said = "\n".join(part.plain for part in view.ledger([found], 100))
    for words in ("orders, certify  0 looks spent  4 left", "orders, test  4 looks spent",
                  "none left", "orders-1", "Paula"):  # fmt: skip
        assert words in said, (words, said)
    assert "No dataset is sealed." in "\n".join(part.plain for part in view.ledger([], 100))


def test_the_summary() -> None:
    many = [evaluation(2, state="running"), evaluation(1)]
    assert view.summary(many, 2).plain == "2 evaluations  1 running"
    assert view.summary(many, 1).plain.endswith("1 shown")
