"""The training record: one form for the same facts."""

import json
from pathlib import Path

import pytest

from appliance.errors import TuningRefused
from appliance.tuning.record import FILE, TYPE, document, read
from appliance.wire.admin.results import TrainingRecord
from tests.tuning.example import kept, record


def test_the_same_facts_have_the_same_bytes() -> None:
    turned = dict(reversed(record().items()))
    one, other = document(kept()), document(TrainingRecord.model_validate(turned))
    assert one == other and one.endswith(b"\n")
    assert json.loads(one) == {**record(), "_type": TYPE}


def test_what_was_written_is_read_and_a_missing_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TuningRefused) as refused:
        read(tmp_path)
    assert refused.value.code == "report_missing"
    (tmp_path / FILE).write_bytes(document(kept()))
    assert read(tmp_path).base.id == "smollm2-135m"
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(TuningRefused):
        read(tmp_path)
