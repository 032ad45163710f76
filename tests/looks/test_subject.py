"""The subject of every look; faults of specifications are in the tests of both judges."""

import json
from types import SimpleNamespace
from typing import cast

import pytest

from appliance.errors import PolicyRefused
from appliance.evals.gate import GateJob
from appliance.looks.subject import LookParts, envelope_of


def test_parameters_are_a_specification() -> None:
    kind = GateJob(cast("LookParts", SimpleNamespace(store=SimpleNamespace(evaluations=None))))
    assert envelope_of(kind.read('{"specification":"{}"}')) == b"{}"
    for params in ({}, {"specification": 1}, {"specification": "\ud800"}, {"more": ""}):
        with pytest.raises(PolicyRefused) as caught:
            kind.read(json.dumps(params))
        assert caught.value.code == "specification_invalid"
