"""Copies of groups that judge later, in train under another name."""

from appliance.datasets import sealing
from appliance.datasets.directory import Dataset, DatasetManifest
from appliance.datasets.items import Item
from appliance.datasets.sealing import Seal
from appliance.tuning.leaks import groups_seen

LONG = "the boom cylinder of machine 7 leaks at the rod since the last change of its seals"


def items(name: str, *texts: str) -> tuple[Item, ...]:
    return tuple(Item(f"{name}{n}", name, {"text": t}, "a") for n, t in enumerate(texts))


def test_a_copy_of_a_group_that_judges_is_counted_sealed_or_open() -> None:
    judging = {"test": items("t", LONG, "short"), "certify": items("c", LONG + " again")}
    train = (*items("new", "SHORT", LONG), *items("other", LONG), *items("third", LONG + " again"))
    plain = Dataset(DatasetManifest("orders"), {"train": train, **judging})
    assert groups_seen(plain, train) == 2  # "other" lacks one of the two texts
    parts = {split: sealing.describe("orders", found) for split, found in judging.items()}
    sealed = Dataset(DatasetManifest("orders"), {"train": train}, Seal("ab", "cd", b"", parts))
    assert groups_seen(sealed, train) == 2
    assert groups_seen(sealed, train[2:3]) == 0  # the control: learned are other groups
    assert groups_seen(Dataset(DatasetManifest("orders"), {"train": train}), train) == 0


def test_short_texts_say_nothing() -> None:
    few = Dataset(DatasetManifest("orders"), {"test": items("t", "replace hose")})
    assert groups_seen(few, items("x", "replace hose")) == 0
