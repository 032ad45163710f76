"""Schemas of routes."""

import pytest

from appliance.errors import BadRequest
from appliance.wire.admin.routes import RoutePlanWanted, Suspend


def test_a_reason_is_needed() -> None:
    assert Suspend.of(reason="x").reason == "x"
    with pytest.raises(BadRequest, match="reason"):
        Suspend.of(reason="")


def test_only_sealed_splits_are_opened() -> None:
    assert RoutePlanWanted.of(route="r", dataset="d").split == "certify"
    with pytest.raises(BadRequest, match="split"):
        RoutePlanWanted.of(route="r", dataset="d", split="dev")
