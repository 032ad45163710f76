"""The output of `tune teach`."""

from typing import Final

from appliance.cli.tune_teach import told
from appliance.wire.admin.results import DatasetTaught

RESULT: Final = DatasetTaught.model_validate({
    "teacher": {"id": "large", "digest": "ab" * 32, "shots": 8},
    "licence": "Apache-2.0",
    "task": {"id": "orders", "digest": "cd" * 32},
    "agreement": {"value": 0.84, "interval": [0.7, 0.92], "items": 50, "groups": 41},
    "asked": 200,
    "taken": 190,
    "dropped": {"form": 7, "timeout": 3},
    "share_dropped": 0.05,
    "dataset": "/data/teaching/4/dataset",
})  # fmt: skip


def test_agreement_and_what_is_dropped_stand_beside_what_is_taken() -> None:
    agreed, taken, terms, where = told(RESULT)
    assert agreed == "large agrees with people on 0.840 (0.700 to 0.920) of 50 items in 41 groups"
    assert taken == ("190 of 200 answers are taken into train; 5 % dropped: 7 form, 3 timeout")
    assert terms == "terms: Apache-2.0" and where.endswith("/dataset")
    assert told(RESULT.having(dropped={}, share_dropped=0.0))[1].endswith("0 % dropped")
