"""The training record: one form for the same facts."""

import json
from pathlib import Path

import pytest

from appliance.errors import TuningRefused
from appliance.tuning.record import FILE, TYPE, document, read


def test_the_same_facts_have_the_same_bytes() -> None:
    one, other = document({"a": 1, "b": [0.5]}), document({"b": [0.5], "a": 1})
    assert one == other and one.endswith(b"\n")
    assert json.loads(one) == {"_type": TYPE, "a": 1, "b": [0.5]}


def test_what_was_written_is_read_and_a_missing_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TuningRefused) as refused:
        read(tmp_path)
    assert refused.value.code == "report_missing"
    (tmp_path / FILE).write_bytes(document({"a": 1}))
    assert read(tmp_path)["a"] == 1
