"""Verdicts of the gate on real data: candidates without a language model against the regression."""

import pytest

from appliance.datasets.items import Item
from appliance.datasets.reading import read_items
from appliance.evals import judging
from appliance.evals.baselines import battery
from appliance.evals.pairs import MILLION, ItemPair
from appliance.trust.statements.evaluation import GateFound
from tests.conftest import example_set
from tests.evals.gates import wanted
from tests.evals.test_gate_simulation import told

pytestmark = pytest.mark.slow
REGRESSION = "logistic regression"


def answers(items: list[Item]) -> tuple[list[Item], dict[str, list[str]]]:
    train = [item for item in items if item.split == "train"]
    tests = [item for item in items if item.split == "test"]
    texts = [item.text for item in tests]
    found = {b.name: [guess.answer for guess, _ in b.answers(texts)] for b in battery(train)}
    return tests, found


def judged(tests: list[Item], ones: list[str], others: list[str]) -> GateFound:
    pairs = [
        ItemPair(item.id, item.group, "", item.label, MILLION * (one == item.label),
             MILLION * (other == item.label), one, other)
        for item, one, other in zip(tests, ones, others, strict=True)
    ]  # fmt: skip
    return judging.judge(wanted(incumbent=REGRESSION), pairs)


def verdicts(items: list[Item]) -> dict[str, GateFound]:
    tests, given = answers(items)
    found = {}
    for name, labels in given.items():
        found[name] = judged(tests, labels, given[REGRESSION])
        told(
            f"{name}: {found[name].verdict}, {found[name].groups} groups, "
            f"{found[name].low_micros / 10_000:g} to {found[name].high_micros / 10_000:g} points"
        )
    return found


@pytest.mark.parametrize("name", ["excavators", "licences"])
def test_real_candidates(name: str) -> None:
    found = verdicts(read_items(example_set(name)))
    assert found[REGRESSION].verdict == "pass"  # against itself
    assert found["majority"].verdict == "fail"
    assert len(found) >= 5


def test_too_few_groups_are_underpowered() -> None:
    """Even a candidate that is always right, against the commonest label."""
    items = read_items(example_set("fail2ban"))
    train = [item for item in items if item.split == "train"]
    tests = [item for item in items if item.split == "test"]
    (majority,) = battery(train)[:1]
    common = [guess.answer for guess, _ in majority.answers([item.text for item in tests])]
    for name, labels in (("always right", [i.label for i in tests]), ("majority", common)):
        found = judged(tests, labels, common)
        told(f"fail2ban, {name}: {found.verdict}, {found.groups} groups of {len(tests)} items")
        assert found.verdict == "underpowered" and found.groups < 50
