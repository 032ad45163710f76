"""What the evaluations screen says."""

from typing import Any

from tests.tui.scripted import WALL, candidate, evaluation
from tui.text import line
from tui.view import evaluations as view


def shown(width: int = 120, *, ascii_only: bool = True, **changes: Any) -> str:
    made = evaluation(7, **changes)
    said = view.detail(made, WALL, width, ascii_only=ascii_only)
    return "\n".join(part.plain for part in said)


def test_a_row_has_a_cell_for_each_column() -> None:
    made = view.row(evaluation(7), WALL, ascii_only=True)
    assert len(made) == len(view.COLUMNS) and "+ done" in line(*made).plain


def test_candidates_stand_by_score_with_interval_groups_and_speed() -> None:
    said = shown()
    rows = said.splitlines()
    names = [row.split("  ")[0] for row in rows[3:]]
    assert names == [
        "logistic regression", "logistic regression, n=100", "majority", "smollm2-135m",
    ]  # fmt: skip
    for words in ("n = 317 groups", "548 items", "exact match on dev", "labels agree 80.7%",
                  "0.641 to 0.737", "-O-", "0.122", "2.18"):  # fmt: skip
        assert words in said, words
    assert rows[-1].split()[-1] == "3"  # its timeouts are counted
    assert "⠒" in shown(ascii_only=False)


def test_an_interval_is_drawn_on_the_scale_from_0_to_1() -> None:
    result = {**evaluation(7).result, "candidates": [candidate("half", 0.5, 0.0, 1.0, 1.0)]}  # type: ignore[dict-item]
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


def test_the_summary() -> None:
    many = [evaluation(2, state="running"), evaluation(1)]
    assert view.summary(many, 2).plain == "2 evaluations  1 running"
    assert view.summary(many, 1).plain.endswith("1 shown")
