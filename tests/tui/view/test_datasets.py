"""Datasets in words."""

from appliance.facts import DatasetFacts
from appliance.wire.admin.models import Model, ModelDetail
from tests.tui.staging import _LEDGERS, DATASETS
from tui.text import line
from tui.view import datasets

FACTS = DatasetFacts(
    name="orders", version=1, items={"train": 3_120, "test": 902},
    groups={"train": 1_400, "test": 480}, sealed=("test",),
)  # fmt: skip


def test_items_groups_seals_and_looks_and_what_is_not_read_is_no_guess() -> None:
    listed, known = Model(**DATASETS[0]), ModelDetail(**DATASETS[0], facts=FACTS)
    row = datasets.row(listed, known, _LEDGERS[0])
    assert len(row) == len(datasets.COLUMNS)
    assert line(*row).plain.startswith("orders  + approved  4 022  1 880  test  7  aa71")
    assert list(datasets.row(listed, None, None))[2:6] == ["-", "-", "-", "-"]
    shown = "\n".join(part.plain for part in datasets.detail(known, _LEDGERS[0], 90))
    assert "3 120" in shown and "sealed  1 look spent  3 left" in shown
    assert datasets.summary([listed], 0).plain == "1 dataset  0 shown"
