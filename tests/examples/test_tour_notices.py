"""The licence notices of the tours: the app's are in no dataset."""

import json
from pathlib import Path

import pytest

from appliance.datasets import marks
from appliance.routing import definition
from examples import tour_notices
from examples.demo import DemoError


def test_groups_that_the_app_asks_about_are_in_no_split(licences_path: Path) -> None:
    kept, left = tour_notices.split(licences_path)
    assert len(left) == len({item["group"] for item in left}) == 50
    assert not {item["group"] for item in left} & {item["group"] for item in kept}
    assert len({item["group"] for item in kept if item["split"] == "certify"}) == 660


def test_too_few_examples_are_refused(tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    few.write_text(json.dumps({"id": "a", "group": "g", "split": "test"}) + "\n")
    with pytest.raises(DemoError, match="too few items"):
        tour_notices.split(few)


def test_its_route_counts_copies_of_a_notice_once_and_has_people_behind_it() -> None:
    text = tour_notices.ROUTE_FILE.format(id="licences", task="one", digest="ab" * 32)
    route = definition.parse(text.encode())
    assert (route.weight, route.on_defer, route.terms.error) == ("groups", "queue", 0.05)
    assert [stage.kind for stage in route.stages] == ["task", "queue"]


def test_no_item_of_test_is_nearly_one_of_certify(licences_path: Path) -> None:
    items, _ = tour_notices.split(licences_path)
    parts = {name: [i for i in items if i["split"] == name] for name in ("test", "certify")}
    found = {
        name: [marks.of_item(b"k", item["input"]["text"]) for item in part]
        for name, part in parts.items()
    }
    held: dict[str, list[int]] = {}
    for number, each in enumerate(found["certify"]):
        for part in marks.parts(each):
            held.setdefault(part, []).append(number)
    assert marks.shared(found["test"], held) == []  # so a gate takes no look of the route
    assert len({item["group"] for item in parts["test"]}) > 400
