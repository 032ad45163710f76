"""The last advice."""

from pathlib import Path

import pytest

from appliance.advisor.shelf import every, keep, last
from appliance.errors import Refused
from appliance.wire.admin.advice import Advice


def given(task: str, **document: str) -> Advice:
    return Advice.model_validate(
        {"task": task, "created": "now", "document": document, "html": "<p>"}
    )


def test_the_last_one_is_kept_and_found(tmp_path: Path) -> None:
    shelf = tmp_path / "advice"
    with pytest.raises(Refused) as caught:
        last(shelf, "orders")
    assert caught.value.code == "advice_missing" and every(shelf) == []
    for verdict in ("prompt", "tuned"):
        keep(shelf, given("orders", verdict=verdict))
    keep(shelf, given("any"))
    assert last(shelf, "orders").document.document == {"verdict": "tuned"}
    assert [each.task for each in every(shelf)] == ["any", "orders"]


def test_what_cannot_be_read_is_no_advice(tmp_path: Path) -> None:
    for number, text in enumerate(("{", "[]", '{"task": 1}')):
        (tmp_path / f"{number}.json").write_text(text)
    assert every(tmp_path) == []
