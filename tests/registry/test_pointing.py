"""A pointer is followed in its turn; the admin routes' tests have the refusals of targets."""

from pathlib import Path

import pytest

from appliance.app import initialise, open_services
from appliance.audit.entry import Draft
from appliance.errors import StateRefused
from appliance.registry.pointing import Pointing
from appliance.trust.statements.pointer import TaskPointer, TaskVersion
from tests.evals.sealed import add_task
from tests.smol import APPROVERS, SMALL, approve, key


def test_a_pointer_follows_the_newest_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    initialise(tmp_path / "data", "lab")
    with open_services(tmp_path / "data", config=SMALL) as services:
        add_task(services, tmp_path / "v1")
        approve(services, "v1", *APPROVERS)
        recorded: list[Draft] = []
        pointing = Pointing(
            services.store, services.pointers, services.trust.freshness, recorded.append
        )
        digest = services.store.inventory.record("v1").digest or ""
        for reason, follows in (("first", True), ("elsewhere", False)):
            made = TaskPointer(
                "orders", TaskVersion("v1", digest), "", APPROVERS[0], reason,
                "2026-09-21T00:00:00Z",
            )  # fmt: skip
            envelope = made.sign(key(services.data, APPROVERS[0]))
            if not follows:
                with pytest.raises(StateRefused) as caught:
                    pointing.flip("uid:0", envelope, services.policy())
                assert caught.value.code == "pointer_moved"
            assert pointing.flip("uid:0", envelope, services.policy(), follows=follows) == "orders"
        assert [draft.fields["reason"] for draft in recorded] == ["first", "elsewhere"]
        assert len(services.pointers.history("orders")) == 2
