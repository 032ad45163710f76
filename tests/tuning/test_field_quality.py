"""Fields one by one: all items, those that state the field, and the whole answer."""

import json

from appliance.datasets.items import Item
from appliance.evals.outcomes import Outcome
from appliance.tasks.loaded import LoadedTask, load
from appliance.tuning.candidates import outcome
from appliance.tuning.field_quality import WHOLE, by_field
from tests.evals.orders import TASK
from tests.tasks.example import FIELDS, SCHEMA

ANSWER: dict[str, object] = {
    "part": None, "side": None, "hours": 1, "count": 1, "urgent": True, "note": "",
}  # fmt: skip


def loaded(text: str = FIELDS) -> LoadedTask:
    files = {"task.toml": text, "schema.json": json.dumps(SCHEMA)}
    return load(lambda name, most: files[name].encode()[:most], "ab" * 32)


def outcomes(task: LoadedTask, *answers: dict[str, object] | None) -> list[Outcome]:
    """Four items; the last two state the part."""
    found = []
    for n, given in enumerate(answers):
        expected = ANSWER | ({"part": "hose"} if n > 1 else {})
        item = Item(f"d{n}", f"g{n}", {"text": "a"}, expected)
        found.append(outcome(task.task, item, None if given is None else json.dumps(given)))
    return found


def test_a_field_that_is_mostly_null_is_told_apart() -> None:
    task = loaded()
    tuned = outcomes(task, ANSWER, ANSWER, ANSWER | {"part": "hose"}, ANSWER)
    untuned = outcomes(task, ANSWER | {"part": "pump"}, None, ANSWER, None)
    rows = {row.field: row for row in by_field(task, tuned, untuned)}
    assert list(rows) == [*sorted(SCHEMA["properties"]), WHOLE]  # type: ignore[call-overload]
    part = rows["part"]
    assert (part.value, part.stated, part.stated_value) == (0.75, 2, 0.5)
    assert part.interval[0] < 0.75 < part.interval[1] and part.untuned == 0
    assert rows["side"].stated_value is None and rows["side"].untuned == 0.5
    assert rows[WHOLE].value == 0.75 and rows[WHOLE].untuned == 0


def test_labels_have_no_fields() -> None:
    task = loaded(TASK)
    item = Item("d", "g", {"text": "a"}, "engine")
    assert by_field(task, [outcome(task.task, item, "engine")]) == []
