"""Tunings in words."""

from typing import Any

from tests.tui.scripted import WALL, losses, side_by_side, tuning
from tests.tuning import example
from tests.tuning.example import PLAN
from tui.text import line
from tui.view import tuning as view


def shown(width: int = 120, *, runs: Any = (), ascii_only: bool = True, **changes: Any) -> str:
    said = view.detail(tuning(7, **changes), runs, WALL, width, ascii_only=ascii_only)
    return "\n".join(part.plain for part in said)


def whole(width: int = 120, *, runs: Any = (), **changes: Any) -> str:
    said = view.whole(tuning(7, **changes), runs, WALL, width, ascii_only=True)
    return "\n".join(part.plain for part in said)


def test_a_row_says_whether_it_is_a_plan() -> None:
    made = view.row(tuning(7), WALL, ascii_only=True)
    assert len(made) == len(view.COLUMNS)
    assert line(*made).plain.startswith("7  train  - done")
    planned = view.row(tuning(7, params={"plan": True}), WALL, ascii_only=True)
    assert line(*planned).plain.startswith("7  plan")


def test_a_plan_has_its_figures() -> None:
    said = shown(params={"plan": True}, result=PLAN)
    for words in ("984 of at most 212 tokens, 335 of dev", "62 steps, 480 200 tokens",
                  "at most 27 min", "963 MiB", "rank 16, rate 0.001"):  # fmt: skip
        assert words in said, words
    assert "at most 27 min" in whole(params={"plan": True}, result=PLAN)


def test_candidates_stand_with_intervals_and_differences() -> None:
    said = shown()
    for words in ("blend, weight 0.62", "0.860", "0.810 to 0.898", "+10.2", "+4.9 to +15.4", "-O-",
                  "n = 237 groups", "984 rows", "0.1264 nats a token against 0.1243",
                  "412 best tokens", "100 % of answers", "38 min, 2 458 MiB", "energy not known",
                  "would help: yes"):  # fmt: skip
        assert words in said, words
    assert "81.5 kJ" in shown(result=example.result(joules=81_500.0))
    assert "more rows" not in shown(result=example.result(curve=[]))


def test_where_there_is_no_room_value_and_difference_stay() -> None:
    said = shown(50)
    assert "0.860" in said and "+10.2" in said and "-O-" not in said


def test_the_losses_are_drawn_while_it_trains_and_dev_is_marked() -> None:
    running: dict[str, Any] = {
        "state": "running", "result": None, "runs": [losses("seed-1"), losses()],
    }  # fmt: skip
    said = shown(**running).splitlines()
    head = next(n for n, row in enumerate(said) if row.startswith("seed-0"))
    assert said[head].startswith("seed-0  step 40  loss 0.19") and "dev 0.2761" in said[head]
    drawn = said[head + 1 : head + 7]
    assert drawn[0].startswith("2.76") and "." in drawn[0] and drawn[-1].startswith("0.1")
    assert sum(row.count("o") for row in drawn) == 1
    assert shown(**running).isascii()
    assert any("\u2800" < c < "\u2900" for c in shown(**running, ascii_only=False))
    assert "step" not in shown(state="running", result=None)
    assert "seed-0  step 40" in whole(runs=[losses()])


def test_the_whole_has_the_curve_the_seeds_the_settings_and_the_digests() -> None:
    said = whole()
    for words in ("tuning 7", "The blend reaches 86 %", "25 %, 246 rows", "0.644 to 0.756",
                  "0, kept", "0.1243", "rank 16", "cd" * 32, "2.9.1+cpu",
                  "/srv/appliance/tuning/7/adapter"):  # fmt: skip
        assert words in said, words
    fields = [{"field": "port", "value": 0.9, "interval": [0.8, 0.95], "stated": 40,
               "stated_value": 0.75, "stated_interval": [0.6, 0.9]}]  # fmt: skip
    told = whole(result=example.result(fields=fields))
    assert "0.750 of 40" in told and "0.800 to 0.950" in told
    failed = whole(state="failed", result=None, code="tuning_nll_gap", message="Apart.")
    assert "tuning_nll_gap: Apart." in failed


def test_side_by_side_only_what_differs_stands_below() -> None:
    def told(width: int, found: Any) -> str:
        return "\n".join(part.plain for part in view.compared(found, width, ascii_only=True))

    said = told(120, side_by_side(7, 9))
    for words in ("0.844", "0.793 to 0.885", "2 280 s", "2 458", "DIFFERS", "rank", "0.0005"):
        assert words in said, words
    for words in ("9 minus 7", "paired on 335 items of dev in 237 groups, 12 left out", "-2.0",
                  "-5.1 to +1.2", "0.21", "14 against 21", "best: blend"):  # fmt: skip
        assert words in said, words
    (pair,) = side_by_side(7, 9).paired
    apart = pair.model_copy(update={"reason": "their datasets differ", "differences": []})
    refused = told(60, side_by_side(7, 9).model_copy(update={"paired": [apart]}))
    assert "9 minus 7" in refused and "not comparable: their datasets differ" in refused
    assert "minus" not in told(80, side_by_side(7, 9).model_copy(update={"paired": []}))
    other = side_by_side(7, 9).model_copy(update={"same_dev": False, "differing": []})
    assert "! Measured on other items of dev" in told(80, other)
    assert "All settings are the same." in told(80, other)
    assert "0.844" in told(60, side_by_side(*range(1, 9)))


def test_a_result_of_another_form_is_shown_as_far_as_it_is_understood() -> None:
    strange: tuple[dict[str, Any], ...] = (
        {"adapter": 5, "candidates": "none", "dev": 3, "joules": "much"},
        {"adapter": "x", "candidates": [{"kind": 1, "value": "high", "interval": 3}], "curve": [4]},
        {"adapter": None, "seeds": {"a": 1}, "settings": [], "checks": None, "answer": 7},
        {"steps": "many", "seconds": None, "settings": 1},
    )
    for result in strange:
        assert shown(result=result)
        assert whole(result=result)


def test_the_summary() -> None:
    many = [tuning(2, state="running"), tuning(1)]
    assert view.summary(many, 2, 0).plain == "2 tunings  1 running"
    assert view.summary(many, 1, 2).plain == "2 tunings  1 running  2 marked  1 shown"
