"""Lines of outcomes: canonical, one tree, one proof for each."""

import json
from typing import Any

import pytest

from appliance.audit import merkle
from appliance.errors import EvaluationRefused
from appliance.evals import pairs as pairs_
from tests.evals import example
from tests.evals.gates import pairs


def refused(line: bytes) -> str:
    with pytest.raises(EvaluationRefused) as caught:
        pairs_.parse(line)
    return caught.value.code


def test_outcomes_of_both_sides_become_lines_in_the_order_of_items() -> None:
    one, other = example.outcomes(80), example.outcomes(60, start=30)
    found = pairs_.pair(one[::-1], other)
    assert [p.item for p in found] == sorted(o.item for o in one)
    assert found[0].candidate == one[0].micros and found[0].incumbent == other[0].micros
    assert [pairs_.parse(p.line()) for p in found] == found


def test_sides_that_answered_other_items_are_refused() -> None:
    with pytest.raises(EvaluationRefused) as caught:
        pairs_.pair(example.outcomes(80), example.outcomes(60, of=118))
    assert caught.value.code == "outcomes_incomplete"


def test_the_root_depends_on_every_line() -> None:
    found = pairs(70)
    root = pairs_.root(found)
    for number in (0, 35, 69):
        changed = list(found)
        changed[number] = pairs(70, gained=70)[number]
        assert (pairs_.root(changed) == root) == (changed[number] == found[number])
    assert pairs_.root(found[:-1]) != root


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 100])
def test_each_line_is_proved(count: int) -> None:
    found = pairs(count)
    root = bytes.fromhex(pairs_.root(found))
    for each in found:
        proof = pairs_.proof(found, each.item)
        path = [bytes.fromhex(h) for h in proof["proof"]]
        leaf = merkle.leaf_hash(proof["line"].encode())
        assert merkle.verify_inclusion(leaf, proof["index"], count, path, root)
        assert not merkle.verify_inclusion(
            merkle.leaf_hash(b"x"), proof["index"], count, path, root
        )
    with pytest.raises(EvaluationRefused):
        pairs_.proof(found, "nowhere")


@pytest.mark.parametrize(
    "change",
    [
        {"candidate": 1_000_001}, {"candidate": -1}, {"candidate": 0.5}, {"candidate": True},
        {"item": ""}, {"group": 3}, {"candidate_answer": None}, {"candidate_failure": "timeout"},
        {"incumbent_answer": 1}, {"surprise": 1},
    ],
)  # fmt: skip
def test_a_line_that_means_nothing_is_refused(change: dict[str, Any]) -> None:
    table = json.loads(pairs(1)[0].line()) | change
    line = json.dumps(table, sort_keys=True, separators=(",", ":")).encode()
    assert refused(line) == "outcomes_invalid"


def test_a_line_of_another_spelling_is_refused() -> None:
    assert refused(b" " + pairs(1)[0].line()) == "outcomes_invalid"
    assert refused(b"[]") == "outcomes_invalid"
    assert refused(b'{"item":"a"}') == "outcomes_invalid"
