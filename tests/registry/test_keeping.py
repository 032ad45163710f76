"""A certificate from elsewhere: recorded first, then kept."""

from pathlib import Path

import pytest

from appliance.app import initialise, open_services
from appliance.errors import PolicyRefused
from appliance.registry.keeping import keep_certificate
from tests.smol import SMALL


def test_what_is_no_certificate_is_neither_recorded_nor_kept(tmp_path: Path) -> None:
    """A good one is in `tests/api/admin/test_gates.py`."""
    initialise(tmp_path / "data", "lab")
    with open_services(tmp_path / "data", config=SMALL) as services:
        recorded: list[object] = []
        with pytest.raises(PolicyRefused):
            keep_certificate(
                services.store, services.trust.freshness, recorded.append, "uid:0", b"{}",
                services.policy(),
            )  # fmt: skip
        assert recorded == [] and services.store.evaluations.envelopes() == []
