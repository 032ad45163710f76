"""Changes of a dataset: an item taken out, personal data masked, unlabelled items labelled.

Rules: a change makes a new version without a signature.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from appliance.datasets.directory import Dataset
from appliance.datasets.items import Expected, Item
from appliance.datasets.personal_data import mask
from appliance.datasets.splits import LABELLED, SPLITS, SplitRule, Splits, split
from appliance.errors import DatasetRefused
from appliance.text import visible


def without(dataset: Dataset, ids: Sequence[str]) -> Dataset:
    """Raises DatasetRefused (`item_unknown`)."""
    known = {item.id for item in dataset.items}
    for name in ids:
        if name not in known:
            raise DatasetRefused("item_unknown", f"There is no item {visible(name, limit=80)!r}.")
    gone = set(ids)
    return _next(
        dataset,
        {
            name: tuple(item for item in dataset.splits.get(name, ()) if item.id not in gone)
            for name in SPLITS
        },
    )


def masked(dataset: Dataset) -> Dataset:
    """Replace personal data in inputs by their kind."""
    return _next(
        dataset,
        {name: tuple(_masked(item) for item in dataset.splits.get(name, ())) for name in SPLITS},
    )


def divided(dataset: Dataset, rule: SplitRule) -> Dataset:
    """Split by another rule.

    Raises:
        DatasetRefused: as `splits.split`; `dataset_sealed`.
    """
    if dataset.seal is not None:
        raise DatasetRefused("dataset_sealed", "Sealed items cannot be split again.")
    items = [replace(item, split=name) for name in SPLITS for item in dataset.splits.get(name, ())]
    found = _next(dataset, split(items, rule))
    return replace(found, manifest=replace(found.manifest, rule=rule.describe()))


def labelled(
    dataset: Dataset, answers: Mapping[str, Expected], shares: Mapping[str, float]
) -> Dataset:
    """Answer unlabelled items.

    An item goes to the split of its group; groups without one are split by shares.

    Raises:
        DatasetRefused: `item_unknown` for an id that is not unlabelled, `split_invalid`.
    """
    waiting = {item.id: item for item in dataset.splits.get("unlabelled", ())}
    for name in answers:
        if name not in waiting:
            shown = visible(name, limit=80)
            raise DatasetRefused("item_unknown", f"There is no unlabelled item {shown!r}.")
    home = {item.group: name for name in LABELLED for item in dataset.splits.get(name, ())}
    fresh = [replace(waiting.pop(name), expected=answer) for name, answer in answers.items()]
    divided = split(
        [item for item in fresh if item.group not in home], SplitRule("group", shares=dict(shares))
    )
    splits = {
        name: tuple(
            sorted(
                [
                    *dataset.splits.get(name, ()),
                    *divided[name],
                    *(item for item in fresh if home.get(item.group) == name),
                ],
                key=lambda item: item.id,
            )
        )
        for name in LABELLED
    }
    splits["unlabelled"] = tuple(waiting.values())
    return _next(dataset, splits)


def _masked(item: Item) -> Item:
    given = {
        name: mask(value) if isinstance(value, str) else value for name, value in item.input.items()
    }
    return replace(item, input=given)


def _next(dataset: Dataset, splits: Splits) -> Dataset:
    manifest = replace(dataset.manifest, version=dataset.manifest.version + 1)
    return replace(dataset, manifest=manifest, splits=splits)
