"""The page of a tuning: the answer first, each figure with its interval, and what comes next."""

from typing import Any

import pytest

from appliance.reports.page import render
from appliance.tuning import report
from appliance.tuning.comparing import ComparedTuning, paired
from appliance.tuning.dev_outcomes import DevOutcomes
from tests.tuning.example import kept as kept_record
from tests.tuning.example import record
from tests.tuning.kept import kept

CLASSIFIER, MODEL, BLEND = record()["candidates"]


def shown(*, signed: bool = False, **changes: Any) -> str:
    return render(
        report.page(
            report.TuningPageFacts(7, kept_record(**changes), "/d/tuning/7/adapter", signed)
        )
    )


def test_it_says_what_was_trained_on_what_and_what_it_came_to() -> None:
    html = shown()
    for words in (
        "Tuning 7: licences version 1 on smollm2-135m",
        "The blend reaches 86 % (81 % to 89.8 %) on dev, against the classifier "
        "+10.2 points (+4.9 to +15.4). Dev chose it",
        "ab" * 32, "cd" * 32, "ef" * 32, "12" * 32, "34" * 32, "56" * 32, "78" * 32,
        "2.9.1+cpu", "llama.cpp b1 haswell", "984 rows", "38 min", "2,458 MiB",
    ):  # fmt: skip
        assert words in html, words


def test_a_task_that_no_classifier_can_answer_has_no_differences() -> None:
    html = shown(best="model", candidates=[MODEL])
    assert "nothing simpler was measured" in html and "against the first" not in html


def test_a_task_of_fields_stands_beside_the_untuned_model_and_has_its_fields() -> None:
    untuned = {"kind": "untuned", "value": 0.1, "interval": [0.05, 0.2]}
    fields = [
        {"field": "port", "value": 0.9, "interval": [0.8, 0.95], "stated": 40,
         "stated_value": 0.75, "stated_interval": [0.6, 0.9], "untuned": 0.3},
        {"field": "the whole answer", "value": 0.7, "interval": [0.6, 0.8]},
    ]  # fmt: skip
    html = shown(best="model", candidates=[untuned, MODEL], fields=fields)
    for words in ("against the untuned model +8.7 points", "The untuned model has the same prompts",
                  "75 % of 40", "60 % to 90 %", "30 %", "the whole answer"):  # fmt: skip
        assert words in html, words
    assert "Fields" not in shown()


def test_a_teacher_is_named() -> None:
    data = {**record()["data"], "taught": 500, "teachers": ["qwen-1.5b"]}
    html = shown(data=data)
    assert "500 of them by a teacher" in html and "qwen-1.5b" in html


def test_the_losses_of_each_step_and_of_dev_are_drawn() -> None:
    html = shown()
    assert 'aria-label="loss by step"' in html and html.count("<polyline") == 2
    assert "each step, seed 0" in html and "after step 62" in html
    assert "dev 31: 0.276" in html and "dev 62: " in html
    one = {**record()["seeds"][0], "losses": [{"step": 1, "loss": 3.0, "dev": 2.0}]}
    assert "dev 1: 2" in shown(seeds=[one])  # measured once
    none = {**one, "losses": [{"step": 1, "loss": 3.0, "dev": None}]}
    assert "<polyline" not in shown(seeds=[none])


def test_candidates_stand_with_intervals_and_paired_differences() -> None:
    html = shown()
    for words in ("blend, weight 0.62", "75.7 %", "69.9 % to 80.7 %", "+8.7", "+3.2 to +14.1",
                  "4e-05", "flatters it", "335 items of dev"):  # fmt: skip
        assert words in html, words


@pytest.mark.parametrize(
    ("best", "rows", "words", "tone"),
    [
        ("model", [MODEL], "nothing simpler was measured", "muted"),
        ("blend", [CLASSIFIER, MODEL, BLEND], "against the classifier", "good"),
        (
            "blend",
            [CLASSIFIER, {**BLEND, "difference_interval": [-0.013, 0.026]}],
            "(-1.3 to +2.6): which is better stays open",
            "muted",
        ),
        (
            "classifier",
            [CLASSIFIER, {**MODEL, "difference": -0.2, "difference_interval": [-0.3, -0.1]}],
            "Closest is the tuned model: -20.0 points",
            "no",
        ),
        (
            "classifier",
            [CLASSIFIER, {**MODEL, "difference": -0.01, "difference_interval": [-0.03, 0.01]}],
            "The classifier is enough so far",
            "muted",
        ),
    ],
)
def test_the_answer_follows_from_the_intervals(
    best: str, rows: list[dict[str, Any]], words: str, tone: str
) -> None:
    told, marked = report.conclusion(kept_record(best=best, candidates=rows))
    assert words in told and marked == tone
    assert ("Dev chose it" in told) == (best != "classifier")


@pytest.mark.parametrize(
    ("helps", "words"), [("yes", "would help: all"), ("no", "would not"), ("unknown", "unknown")]
)
def test_the_learning_curve_has_its_verdict(helps: str, words: str) -> None:
    html = shown(more_data_helps=helps)
    assert words in html and "+5.3 points (+2.1 to +8.7, 237 groups)" in html
    assert "70.2 %" in html and "246" in html
    assert "Learning curve" not in shown(curve=[], doubling={})


def test_it_is_held_against_another_item_by_item() -> None:
    def told(other: DevOutcomes | str) -> str:
        (held,) = paired(
            [ComparedTuning(5, "model", other), ComparedTuning(7, "model", kept("1110"))]
        )
        return render(
            report.page(report.TuningPageFacts(7, kept_record(), "/d/7/adapter", False, held))
        )

    html = told(kept("0100"))
    for words in ("Against tuning 5", "minus tuning 5, on the 4 items of dev in 3 groups", "+50.0",
                   "-49.6 to +83.6", "2, 0", "0.5"):  # fmt: skip
        assert words in html, words
    assert "left out" not in html and "Against tuning" not in shown()
    assert "Not comparable: tuning 5 has no outcomes." in told("has no outcomes")


def test_what_each_check_measured() -> None:
    html = shown()
    for words in ("0.1243 and 0.1264 nats a token, 0.0021 apart", "at most 0.0114", "0.0018 nats",
                  "412 places", "100 %", "at least 99 %"):  # fmt: skip
        assert words in html, words


def test_what_it_forgot_and_that_its_dataset_was_a_draft() -> None:
    told = {**record()["checks"], "texts_untuned": 3.1, "texts_tuned": 3.55, "forgotten": 0.45,
            "forgotten_interval": [0.4, 0.5], "texts": 510, "forgotten_most": 2.0}  # fmt: skip
    html = shown(
        checks=told, data={**record()["data"], "draft": True, "dev_seen": 9, "judged_seen": 3}
    )
    for words in ("3.10 nats a token untuned, 3.55 tuned, +0.45 (+0.40 to +0.50, 95 %, 510",
                  "at most +2.00", ", a draft",
                  "Dev repeats a learned text in 9 items",
                  "repeat the text of 3 groups that it learned from"):  # fmt: skip
        assert words in html, words
    assert "fixed texts" not in shown() and "a draft" not in shown()  # a record of before


def test_the_spread_of_the_seeds_and_one_seed_alone() -> None:
    assert "--seeds 3 measures it" in shown()
    one = record()["seeds"][0]
    html = shown(seeds=[{**one, "seed": 1, "dev_nats": 0.2}, one], spread_nats=0.0757)
    assert "0.0757 nats a token apart" in html and "0, exported" in html
    assert "dev, each seed" in html and html.count("<polyline") == 3
    assert html.index("0, exported") > html.index(">1</td>")  # the table is in their order


def test_joules_where_the_host_tells_them() -> None:
    assert "this host does not tell it" in shown()
    assert "81.5 kJ" in shown(joules=81_500.0)


def test_the_next_commands_begin_with_the_signature_where_there_is_none() -> None:
    html = shown()
    assert "appliance artifact sign /d/tuning/7/adapter" in html
    assert "appliance tune offer 7 TASK_DIR --as smollm2-135m:licences" in html
    assert "artifact sign" not in shown(signed=True)


def test_text_of_a_record_is_escaped() -> None:
    base = {**record()["base"], "id": "<script>x</script>"}
    assert "<script>" not in shown(base=base)
