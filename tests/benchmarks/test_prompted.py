"""The headline's two sides: the same documents and labels, and their sheet."""

import json

from benchmarks.prompted import SHOTS, documents, figures, prompted
from benchmarks.tuned import EXAMPLES

ITEMS = [
    {"id": f"{split}{n}", "split": split, "input": {"text": f"notice {n} " + "x" * 600},
     "expected": f"licence-{n % 3}"}
    for split, count in (("train", 40), ("certify", 20), ("test", 5))
    for n in range(count)
]  # fmt: skip


def test_the_larger_model_sees_what_the_small_one_sees_and_may_say_every_label() -> None:
    given = documents(ITEMS, 10)
    assert len(given.texts) == len(given.labels) == 10 and len(given.before) == 8
    assert not set(given.texts) & set(given.before) and len(given.train) == 40
    body = prompted(EXAMPLES["licences"], given)
    assert len(body["messages"]) == 1 + 2 * SHOTS + 1
    assert len(body["messages"][1]["content"]) == 450
    assert body["messages"][2]["content"] == given.train[0][1]
    allowed = [json.loads(word) for word in body["grammar"].removeprefix("root ::= ").split(" | ")]
    assert allowed == ["licence-0", "licence-1", "licence-2"]
    assert all(label in body["messages"][0]["content"] for label in allowed)


def test_the_sheet_has_the_ratio_within_each_repetition_and_paired_tests() -> None:
    given = documents(ITEMS, 10)
    wrong = ["other"] * 10
    made = {
        f.name: f for f in figures(given, [40, 60], [2, 2], 900.0, (given.labels, wrong, wrong))
    }
    ratio = made["tuned here / prompted on the peer"]
    assert (ratio.value.low, ratio.value.high, ratio.met) == (20, 30, True)
    assert made["tuned, exact match"].value.median == 1
    assert made["prompted, exact match, p against tuned 0.002"].value.median == 0
