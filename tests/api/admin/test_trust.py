"""The trust policy over the admin socket."""

import base64
from pathlib import Path

import pytest

from appliance.api.admin.app import _MAX_BODY_BYTES
from appliance.app import Services
from appliance.audit.search import Query
from appliance.client import AdminClient
from appliance.errors import BadRequest, PolicyRefused, Refused, SignatureRefused
from appliance.trust.policy.metadata import LIMITS
from appliance.trust.policy.root import MAX_ROOTS
from appliance.wire.admin import trust as wire
from appliance.wire.admin.models import STATUS
from appliance.wire.admin.trust import MAX_FILES, TRUST_UPDATE, TrustOffer
from tests.api.admin.lab import APPROVERS, LabData, client_of
from tests.site import make_site
from tests.trust.simulator import ATTACKS, Simulator


def test_the_policy_names_people_roles_and_thresholds(lab: LabData, client: AdminClient) -> None:
    policy = client.call(wire.TRUST)
    assert (policy.version, policy.profile) == (1, "lab")
    approver, publisher = policy.roles["approver"], policy.roles["publisher"]
    assert [holder.person for holder in approver.holders] == list(APPROVERS)
    assert (approver.threshold, approver.distinct_from) == (2, ["publisher"])
    assert (publisher.threshold, len(publisher.holders)) == (1, 1)
    assert not any(holder.revoked for holder in approver.holders)
    assert policy.revoked_keys == policy.revoked_digests == policy.revoked_engines == []


def test_a_lab_has_no_metadata(client: AdminClient) -> None:
    for action in (
        lambda: client.call(wire.TRUST_METADATA),
        lambda: client.call(wire.TRUST_UPDATE, wire.TrustOffer.holding({"timestamp.json": b"{}"})),
    ):
        with pytest.raises(Refused) as caught:
            action()
        assert caught.value.code == "trust_profile"


def test_a_site_takes_new_metadata_and_shows_it(tmp_path: Path) -> None:
    site = make_site(tmp_path, Simulator())
    with site.services() as services, client_of(services) as client:
        shown = client.call(wire.TRUST_METADATA)
        assert shown.versions["root"] == 1
        assert (shown.state, shown.root) == ("valid", site.sim.fingerprint)
        assert shown.alarms and "expires in 30 days" in shown.alarms[0]
        done = client.call(wire.TRUST_UPDATE, wire.TrustOffer.holding(site.sim.next()))
        assert (done.changed, done.before["policy"], done.after["policy"]) == (True, 7, 8)
        policy = client.call(wire.TRUST)
        assert policy.version == 8 and policy.metadata is not None
        assert any("expires in 30 days" in alarm for alarm in client.call(STATUS).alarms)
        with pytest.raises(Refused) as caught:
            client.call(
                wire.TRUST_UPDATE,
                wire.TrustOffer.holding(ATTACKS["rollback of the timestamp"].make(site.sim)),
            )
        assert caught.value.code == "trust_rollback"


def test_a_body_that_is_no_base64(tmp_path: Path) -> None:
    site = make_site(tmp_path, Simulator())
    with site.services() as services, client_of(services) as client:
        body = TrustOffer.of(files={"timestamp.json": "%"})
        with pytest.raises(Refused) as caught:
            client.call(TRUST_UPDATE, body)
        assert caught.value.code == "trust_metadata_malformed"
        assert refusals(services) == ["trust_metadata_malformed"]


def refusals(services: Services) -> list[object]:
    found = services.reader.search(Query(kind="admin")).entries
    return [e.body["code"] for e in found if e.body["action"] == "trust_update_refused"]


def test_a_medium_that_could_not_be_read(tmp_path: Path) -> None:
    site = make_site(tmp_path, Simulator())
    with site.services() as services, client_of(services) as client:
        for error in (SignatureRefused("file_special", "x is no file."),) * 2:
            with pytest.raises(Refused) as caught:
                client.call(wire.TRUST_UPDATE, wire.TrustOffer.holding(error))
            assert (caught.value.code, caught.value.message) == (error.code, error.message)
        with pytest.raises(BadRequest):  # nothing else is recorded that nobody found
            client.call(
                wire.TRUST_UPDATE, wire.TrustOffer.holding(PolicyRefused("trust_rollback", "x"))
            )
        assert refusals(services) == ["file_special"] * 2


def test_metadata_at_its_limits_fits_into_a_request() -> None:
    files = {f"{n}.root.json": bytes(LIMITS["root.json"]) for n in range(MAX_ROOTS + 1)}
    files |= {name: bytes(size + 1) for name, size in LIMITS.items() if name != "root.json"}
    size = sum(len(base64.b64encode(data)) for data in files.values())
    assert len(files) <= MAX_FILES and size + 10_000 < _MAX_BODY_BYTES
