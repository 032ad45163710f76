"""Schemas of the gate refuse what they do not know."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.gates import CertificateUpload, PlanWanted


def test_requests_are_checked() -> None:
    assert PlanWanted.of(task="a", dataset="b").split == "test"
    for wrong in ({"split": "train"}, {"task": ""}, {"surprise": 1}):
        with pytest.raises(BadRequest):
            PlanWanted.of(**{"task": "a", "dataset": "b", **wrong})
    with pytest.raises(BadRequest):
        CertificateUpload.of(envelope="x" * ((1 << 20) + 1))
