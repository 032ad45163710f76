"""The training record: one form for the same facts."""

import json

from appliance.tuning.record import TYPE, document


def test_the_same_facts_have_the_same_bytes() -> None:
    one, other = document({"a": 1, "b": [0.5]}), document({"b": [0.5], "a": 1})
    assert one == other and one.endswith(b"\n")
    assert json.loads(one) == {"_type": TYPE, "a": 1, "b": [0.5]}
