"""The measured tunings: the same rows for both sides, a cut that the task declares, the sheet."""

import pytest

from appliance.tasks.definition import parse
from appliance.tasks.inputs import Renderer
from benchmarks.tuned import EXAMPLES, chosen, definition, figures

LABELS = ["gpl-2.0", "gpl-2.0-plus"]


def test_the_first_rows_of_train_by_digest_and_all_of_the_other_splits() -> None:
    items = [{"id": str(n), "split": "train"} for n in range(50)]
    others = [{"id": "d", "split": "dev"}, {"id": "t", "split": "test"}]
    unlabelled = {"id": "u", "split": "unlabelled"}
    found = chosen([*items, *others, unlabelled], 10)
    assert found[10:] == others and len({item["id"] for item in found}) == 12
    assert found[:10] == chosen(list(reversed(items)), 10)
    assert len(chosen(items, 0)) == 50


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_task_can_be_read_and_says_itself_what_the_model_sees_of_an_input(name: str) -> None:
    task = parse(definition(name, EXAMPLES[name], LABELS, "ab" * 32).encode())
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
