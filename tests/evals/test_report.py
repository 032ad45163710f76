"""The page says whether a classifier is enough, in words that the intervals bear out."""

from collections.abc import Mapping
from dataclasses import replace

from appliance.evals.details import CandidateDetails
from appliance.evals.outcomes import Outcome
from appliance.evals.report import Evaluated, ItemFlip, conclusion, page
from appliance.evals.summary import compare_all, summarise
from appliance.reports.page import render
from tests.evals.example import outcomes


def evaluated(candidates: Mapping[str, list[Outcome]]) -> Evaluated:
    return Evaluated(
        task="excavator-system",
        metric="exact match",
        split="dev",
        summaries=[summarise(name, some, 10) for name, some in candidates.items()],
        baseline="logistic regression",
        comparisons=compare_all("logistic regression", candidates),
        made_of={"dataset": "ab" * 32},
        when="2026-11-27T10:00:00Z",
        ceiling=0.807,
        labels=("a", "b"),
        confusions={"tuned": [[100, 20], [0, 0]]},
        language_models=[name for name in candidates if name not in BASE],
    )


def whole_page() -> str:
    found = evaluated({**BASE, "tuned": outcomes(110)})
    said = "the pump leaks</section>\n"
    flip = ItemFlip("item-7", "g", "tuned", said, "the hose leaks", "x")
    return render(page(replace(found, flips=[flip])))


BASE = {"logistic regression": outcomes(80), "majority": outcomes(20)}


def test_a_better_candidate_is_named_with_its_interval_and_no_certificate_is_claimed() -> None:
    answer, tone = conclusion(evaluated({**BASE, "tuned": outcomes(110)}))
    assert answer.startswith("tuned is better than logistic regression by +25.0 points")
    assert "only a gate" in answer
    assert tone == "good"


def test_a_difference_that_is_not_shown_leaves_the_classifier() -> None:
    answer, tone = conclusion(evaluated({**BASE, "tuned": outcomes(82)}))
    assert answer.startswith("logistic regression is enough so far")
    assert "+1.7 points" in answer
    assert tone == "muted"


def test_worse_candidates_end_in_do_not() -> None:
    answer, tone = conclusion(evaluated({**BASE, "few shots": outcomes(30)}))
    assert answer == (
        "logistic regression is enough: every candidate that was compared with it is shown to be "
        "worse. Do not use a language model for this task as it is."
    )
    assert tone == "no"


def test_the_page_has_every_candidate_and_its_interval() -> None:
    html = render(page(evaluated({**BASE, "tuned": outcomes(110)})))
    for text in ("logistic regression", "majority", "tuned", "91.7 %", "label agreement", "80.7 %",
                 "Against logistic regression", "Slices", "Mistakes", "ab" * 32):  # fmt: skip
        assert text in html
    assert html.index("is better than") < html.index("<svg")


def test_without_a_language_model_nothing_is_claimed_of_one() -> None:
    alone = evaluated({"logistic regression": outcomes(80)})
    assert conclusion(alone) == ("logistic regression is measured; no language model was.", "muted")


def test_a_tie_is_not_worse_and_no_sentence_says_so() -> None:
    tied = {**BASE, "few shots": outcomes(30), "tuned": outcomes(80)}
    answer, tone = conclusion(evaluated(tied))
    assert "enough so far" in answer and "Closest is tuned" in answer and tone == "muted"


def test_the_page_says_for_whom_it_holds_and_each_level() -> None:
    html = render(page(evaluated({**BASE, "tuned": outcomes(110)})))
    assert "By the labels of this dataset, each group counting once" in html
    assert "interval, 97.5 %" in html and "leaves open which is better" in html
    assert "shows no difference" not in html


def test_confidence_is_plotted_where_it_varies() -> None:
    sure = [replace(o, confidence_micros=400_000 + 5_000 * n) for n, o in enumerate(outcomes(110))]
    html = render(page(evaluated({**BASE, "tuned": sure})))
    section = html[html.index("<h2>Confidence</h2>") :].partition("</section>")[0]
    assert "Answers of tuned in 6 parts by confidence" in section and "as sure as right" in section
    assert "<h2>Confidence</h2>" not in render(page(evaluated({**BASE, "tuned": outcomes(110)})))


def test_levels_of_labels_have_a_table() -> None:
    made = evaluated({**BASE, "tuned": outcomes(110)})
    level = CandidateDetails(levels={"category": made.summaries[0].quality})
    html = render(page(replace(made, details={s.name: level for s in made.summaries})))
    section = html[html.index("<h2>Levels</h2>") :].partition("</section>")[0]
    assert "category" in section and "tuned" in section and "95 % interval" in section
    assert "<h2>Levels</h2>" not in render(page(made))
