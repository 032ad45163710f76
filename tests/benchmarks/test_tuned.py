"""The measured tunings: the same rows for both sides, a cut that the task declares, the sheet."""

import pytest

from appliance.tasks.definition import parse
from appliance.tasks.inputs import Renderer
from benchmarks.tuned import EXAMPLES, LABELLED, STANDING, chosen, definition, figures, standing

LABELS = ["gpl-2.0", "gpl-2.0-plus"]


def test_the_first_rows_of_train_by_digest_and_all_of_the_other_splits() -> None:
    items = [{"id": str(n), "group": str(n), "split": "train"} for n in range(50)]
    others = [{"id": "d", "split": "dev"}, {"id": "t", "split": "test"}]
    unlabelled = {"id": "u", "split": "unlabelled"}
    found = chosen([*items, *others, unlabelled], 10)
    assert found[10:] == others and len({item["id"] for item in found}) == 12
    assert found[:10] == chosen(list(reversed(items)), 10)
    assert len(chosen(items, 0)) == 50


def test_every_group_has_a_row_before_one_has_two() -> None:
    items = [{"id": str(n), "group": str(min(n, 9)), "split": "train"} for n in range(50)]
    found = chosen(items, 11)
    assert len({item["group"] for item in found[:10]}) == 10
    assert found[10]["group"] == "9"


def test_a_standing_task_answers_with_the_model_of_the_lab() -> None:
    for name, example in EXAMPLES.items():
        if example.task:
            text = (STANDING / example.task / "task.toml").read_text()
            task = parse(standing(text, ("other", "ab" * 32)).encode())
            assert (task.candidate.model, task.candidate.digest) == ("other", "ab" * 32)
            assert name not in LABELLED
            assert example.beside == "untuned"


@pytest.mark.parametrize("name", LABELLED)
def test_the_task_can_be_read_and_says_itself_what_the_model_sees_of_an_input(name: str) -> None:
    task = parse(definition(name, EXAMPLES[name], LABELS, ("smol", "ab" * 32)).encode())
    shown = Renderer(task).messages({"text": "x" * 1_000})[-1]["content"]
    assert len(shown) == (450 if name == "licences" else 1_000)


def test_the_sheet_holds_what_was_planned_against_what_was_measured() -> None:
    model = {"kind": "model", "value": 0.9, "interval": [0.86, 0.93], "against": "classifier",
             "difference": 0.08, "difference_interval": [0.03, 0.13], "p_value": 0.004}  # fmt: skip
    linear = {"kind": "classifier", "value": 0.82, "interval": [0.77, 0.86]}
    found = {"candidates": [linear, model], "seconds": 600.0, "peak_mib": 2_000}
    planned = {"seconds": 660.0, "memory_mib": 2_500, "server_mib": 300}
    made = {figure.name: figure for figure in figures(found, planned, EXAMPLES["licences"])}
    assert made["model, on dev"].met and made["classifier, on dev"].met is None
    assert made["model less classifier, p = 0.004"].value.low == 0.03
    assert made["planned minutes / measured"].value.median == pytest.approx(1.1)
    assert made["planned peak / measured"].value.median == pytest.approx(1.1)
    part = {"field": "part", "value": 0.8, "interval": [0.7, 0.9], "untuned": 0.1, "stated": 40,
            "stated_value": 0.6, "stated_interval": [0.5, 0.7]}  # fmt: skip
    more = {**found, "fields": [part], "candidates": [{**model, "plain": 0.95}]}
    made = {figure.name: figure for figure in figures(more, planned, EXAMPLES["fields"])}
    assert made["part right (untuned 0.100)"].value.high == 0.9
    assert made["part right, of 40 that state it"].value.low == 0.5
    assert made["model, on dev, items alike"].value.median == 0.95
