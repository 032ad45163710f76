"""The trust policy over the admin socket."""

from appliance.client import AdminClient
from tests.api.admin.lab import APPROVERS, LabData


def test_the_policy_names_people_roles_and_thresholds(lab: LabData, client: AdminClient) -> None:
    policy = client.trust()
    assert (policy.version, policy.profile) == (1, "lab")
    approver, publisher = policy.roles["approver"], policy.roles["publisher"]
    assert [holder.person for holder in approver.holders] == list(APPROVERS)
    assert (approver.threshold, approver.distinct_from) == (2, ["publisher"])
    assert (publisher.threshold, len(publisher.holders)) == (1, 1)
    assert not any(holder.revoked for holder in approver.holders)
    assert policy.revoked_keys == policy.revoked_digests == policy.revoked_engines == []
