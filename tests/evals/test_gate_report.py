"""The page of a gate: the verdict in words, the classifier first, figures to the point."""

from dataclasses import replace

import pytest

from appliance.evals import gate_report, judging
from appliance.evals.gate_report import GatePageFacts
from appliance.evals.judging import Coarse
from appliance.evals.pairs import ItemPair
from appliance.reports.page import render
from appliance.trust.statements.specification import Specification
from tests.evals.gates import PACKS, pairs, wanted


def judged(outcomes: list[ItemPair], terms: Specification | None = None) -> GatePageFacts:
    terms = terms or wanted()
    packs = {name: PACKS[name] for name in terms.packs}
    return GatePageFacts(
        wanted=terms,
        found=judging.judge(terms, outcomes, packs),
        qualities={
            "logistic regression": Coarse(730_000, 690_000, 770_000),
            "orders": Coarse(740_000, 700_000, 780_000),
            "incumbent: majority": Coarse(170_000, 140_000, 210_000),
        },
        look=1,
        certificate=None,
        made_of={"task": terms.task_digest},
        when="2026-09-21T00:00:00Z",
    )


@pytest.mark.parametrize(
    ("outcomes", "terms", "words"),
    [
        (pairs(400, gained=20), wanted(), "not worse than always answering the commonest label"),
        (
            pairs(400, lost=80),
            wanted(),
            "Fail: orders is worse than always answering the commonest",
        ),
        (pairs(400, gained=20), wanted(floors={"": 900_000}), "Fail: the floor of the whole"),
        (pairs(400, gained=20), wanted(packs={"general": 760_000}), "the floor of pack general"),
        (pairs(60, lost=1), wanted(), "fresh groups decides in 80 of 100 cases if the candidate"),
        (pairs(60, lost=3), wanted(margin_micros=20_000), "no number that is known if it is 2"),
        (pairs(49, lost=20), wanted(), "No number of groups is known to, because it looks more"),
        (pairs(200, gained=20), wanted(floors={"": 640_000}), "A floor takes about"),
        (pairs(400, gained=20), wanted(floors={"no": 1_000}), "No number of groups is known to"),
    ],
)
def test_the_verdict_is_a_sentence(
    outcomes: list[ItemPair], terms: Specification, words: str
) -> None:
    assert words in gate_report.sentence(judged(outcomes, terms))


def test_the_classifier_stands_first_and_no_item_is_shown() -> None:
    html = render(gate_report.page(judged(pairs(400, gained=20))))
    assert html.index("logistic regression") < html.index("incumbent: majority")
    assert "Pass: orders" in html and "<svg" in html
    assert not any(pair.item in html for pair in pairs(400))


def test_the_page_tells_how_many_certificates_may_be_false() -> None:
    found = replace(judged(pairs(400, gained=20)), issued=(50_000, 50_000), certificate="ab" * 32)
    html = render(gate_report.page(found))
    assert "of the last 365 days: 3. By the alpha of each, 0.15 of them may be false" in html


def test_against_nothing_no_page_says_not_worse() -> None:
    terms = wanted(incumbent="none", floors={"": 600_000})
    said = gate_report.sentence(judged(pairs(400, gained=20), terms))
    assert said == "Pass: orders reaches every floor; it was compared with nothing."


def test_the_packs_stand_among_the_terms() -> None:
    html = render(gate_report.page(judged(pairs(400, gained=20), wanted(packs={"general": 1_000}))))
    assert "pack general" in html and "0.1 %: pass, 60 of 80 items right, 62 to 85 %" in html


def test_the_page_says_for_whom_it_holds_and_the_level_of_each_interval() -> None:
    page = judged(pairs(400, gained=20))
    html = render(gate_report.page(replace(page, rows=1_000)))
    assert "By the labels of this dataset, each group counting once, for the population" in html
    assert "its sealed groups were drawn from: a pass is wrong in at most 1.25 of 100" in html
    assert html.count("97.5 %") == 3  # beside the difference, at the figure, over the table
    assert "learned from all 1,000 rows of train" in html
