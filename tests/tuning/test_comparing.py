"""Tunings side by side: what differs is named, and nothing else."""

from appliance.tuning.comparing import Difference, differing, same_dev
from tests.tuning.example import result


def test_only_what_differs_is_named_with_its_values() -> None:
    settings = result()["settings"]
    other = result(settings={**settings, "rank": 32, "dropout": 0.1}, seeds=result()["seeds"] * 3)
    assert differing([result(), other]) == [
        Difference("rank", ("16", "32")),
        Difference("seeds", ("1", "3")),
        Difference("dropout", ("-", "0.1")),
    ]
    assert differing([result(), result(seconds=5.0)]) == []


def test_other_items_of_dev_are_noticed_and_another_base_is_not_taken_for_them() -> None:
    data = result()["data"]
    assert same_dev([result(), result(data={**data, "dev_sha256": "00" * 32})])
    assert not same_dev([result(), result(data={**data, "dev": 100})])
    assert not same_dev([result(), result(data={**data, "digest": "00" * 32})])
