"""One reader: evaluation, gate and advisor agree on the same outcomes."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from appliance.advisor.options import of_evidence
from appliance.advisor.questions import read
from appliance.advisor.verdict import advise
from appliance.evals import evidence_reader, judging
from appliance.evals.evidence_reader import Quality
from appliance.evals.outcomes import Outcome
from appliance.evals.report import Evaluated, conclusion
from appliance.evals.summary import compare_all, summarise
from appliance.statistics.groups import mean
from appliance.statistics.verdict import FEWEST
from appliance.trust.statements import evaluation
from appliance.wire.admin.results import EvaluationResult
from tests.evals.gates import certificate, forged, pairs, policy, wanted
from tests.statistics.simulation import within

TODAY = date(2026, 11, 29)
ASKED = read("[domain]\nquality = 0.6\n")


def answered(right: int, groups: int) -> list[Outcome]:
    return [
        Outcome(f"i{n}", f"g{n}", "a", "a" if n < right else "b", 1_000_000 * (n < right), 1)
        for n in range(groups)
    ]


def both(groups: int, **right: int) -> tuple[str, str]:
    outcomes = {name.replace("_", " "): answered(count, groups) for name, count in right.items()}
    compared = compare_all("logistic regression", outcomes)
    summaries = [summarise(name, each, 1) for name, each in outcomes.items()]
    models = [name for name in outcomes if name in ("small", "tied")]
    shown = Evaluated("orders", "exact match", "dev", summaries, "logistic regression", compared,
                      {}, "now", language_models=models)  # fmt: skip
    rows = [
        {"name": s.name, "kind": "model" if s.name in models else "baseline",
         "model": s.name if s.name in models else None,
         "quality": s.quality.value, "interval": list(s.quality.interval),
         "groups": s.quality.groups, "documents_s": 1.0, "p95_s": 0.1}
        for s in summaries
    ]  # fmt: skip
    result = {"task": "orders", "candidate": "small", "candidates": rows}
    facts = of_evidence(evidence_reader.of_evaluation(EvaluationResult.model_validate(result)))
    return conclusion(shown)[0], advise(ASKED, facts, TODAY).answer


def test_on_fourteen_groups_both_say_that_nothing_is_told_from_another() -> None:
    page, advice = both(14, logistic_regression=14, small=2, tied=14)
    assert page == advice
    assert page.startswith(f"Not enough data: {FEWEST - 14} more independent groups.")
    page, advice = both(60, logistic_regression=60, small=2)  # the control: enough of them
    assert "Do not use a language model" in page and advice.startswith("Don't use a language")


def verified(envelope: bytes) -> evaluation.GateCertificate:
    return evaluation.verify(envelope, policy())


def test_after_a_gate_the_advisor_knows_its_groups_and_its_quality() -> None:
    """The gate passed on 222 groups."""
    found = verified(certificate(pairs(222, gained=20)))
    assert found.found.verdict == "pass" and found.found.groups == 222
    facts = of_evidence(
        evidence_reader.with_gate(evidence_reader.TaskEvidence("orders"), found, "smol")
    )
    (option,) = facts.candidates
    assert option.quality is not None and option.quality.sealed
    assert (facts.groups, option.option, option.source) == (222, "prompt", "gate")
    advice = advise(ASKED, facts, TODAY)
    assert advice.verdict == "prompt" and "ith 0 " not in advice.answer
    # As many groups as the certificate names, at the level of its look.
    assert option.quality.groups == 222
    assert option.quality.confidence == pytest.approx(1 - 2 * found.wanted.alpha_of(1))


def test_sealed_items_outrank_open_ones_and_speed_stays() -> None:
    row = {"name": "smol", "kind": "model", "model": "smol", "quality": 0.95,
           "interval": [0.9, 0.98], "groups": 60, "documents_s": 3.0, "p95_s": 0.5}  # fmt: skip
    best = {**row, "name": "smol, 8 examples", "quality": 0.99, "interval": [0.97, 1.0]}
    result = {"task": "orders", "candidate": "smol", "candidates": [row, best]}
    found = verified(certificate(pairs(222, gained=20)))
    after = evidence_reader.with_gate(
        evidence_reader.of_evaluation(EvaluationResult.model_validate(result)), found, "smol"
    )
    (option,) = of_evidence(after).candidates
    assert option.quality is not None and option.quality.sealed
    assert option.quality.value < 0.95 and option.documents_s == 3.0


def test_a_certificate_of_before_tells_its_groups_alone() -> None:
    old = forged(certificate(), lambda s: s["predicate"]["evaluation"].pop("qualityMicros"))
    after = evidence_reader.with_gate(evidence_reader.TaskEvidence("orders"), verified(old), "smol")
    assert (after.groups, after.candidates) == (400, ())


def test_a_floor_is_decided_by_the_mean_that_the_certificate_tells() -> None:
    """Several items a group; the control, the old limits, is higher."""
    alone = pairs(300, right=0.9)
    grouped = [replace(p, group=f"g{n // 5}") for n, p in enumerate(alone)]
    terms = wanted(floors={"": 500_000})
    now = judging.judge(terms, grouped)
    old = judging.judge(terms, grouped, corrected=False)
    assert now.quality["low"] == now.floor_lows[""] <= old.floor_lows[""]
    assert now.quality["value"] == 900_000 and old.quality == {}


def test_the_best_of_ten_equal_candidates_is_seldom_shown() -> None:
    """Truth equals the wanted quality; the control without the correction shows 1 of 5."""
    draw, runs, truth = np.random.default_rng(4), 600, 0.85
    shown = plain = 0
    for _ in range(runs):
        best = max((draw.random(100) < truth).mean() for _ in range(10))
        found = mean([1.0] * round(best * 100) + [0.0] * round(100 - best * 100), range(100))
        quality = Quality(found.value, *found.interval, 100)
        shown += quality.together(10, 0.05).low >= truth
        plain += quality.low >= truth
    assert within(shown / runs, 0.05, runs)
    assert plain / runs > 0.1
