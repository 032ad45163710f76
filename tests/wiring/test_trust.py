"""The trust of a lab: its policy, and its effects."""

import pytest

from appliance.errors import StateRefused
from appliance.governance.agreement import AgreementFound
from appliance.governance.log_state import UnprovenRow
from appliance.wiring.log import LogRoom
from appliance.wiring.trust import TrustRoom
from appliance.workers.supervisor import ENGINE, engine_version


def test_the_policy_in_force_is_read_and_the_engine_has_its_build(trust: TrustRoom) -> None:
    assert trust.policy().profile == "lab" and trust.now_us() > 0
    assert trust.engine().startswith(f"{ENGINE} {engine_version()} build ")
    assert trust.store.evaluations.engine == trust.engine()
    assert not trust.has("smol") and trust.adapters_of("smol") == []


def test_what_the_log_does_not_prove_is_not_used(log: LogRoom, trust: TrustRoom) -> None:
    log.agreement.standing = AgreementFound(
        "", (UnprovenRow("model_approvals", "smol/anna", "unlogged"),)
    )
    with pytest.raises(StateRefused) as caught:
        trust.store._check_held("smol")
    assert caught.value.code == "state_differs"
    log.agreement.standing = AgreementFound()
    trust.store._check_held("smol")  # the control
