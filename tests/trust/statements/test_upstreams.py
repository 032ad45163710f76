"""Approvals of upstream hosts: two people, this record, the policy of the day."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.db import open_database
from appliance.errors import PolicyRefused
from appliance.trust.statements import approval, upstreams
from appliance.trust.statements.approval import UpstreamSubject
from appliance.trust.statements.upstream import UpstreamRecord
from appliance.trust.statements.upstreams import UpstreamRecords
from tests.trust.forge import Lab
from tests.trust.statements.test_upstream import RECORD


@pytest.fixture
def records(tmp_path: Path) -> Iterator[UpstreamRecords]:
    database = open_database(tmp_path / "a.db", [upstreams.TABLES])
    yield UpstreamRecords(database)
    database.dispose()


def signed(lab: Lab, person: str, record: UpstreamRecord = RECORD) -> bytes:
    return approval.sign(
        UpstreamSubject.of(record),
        name=person,
        meaning="may be asked",
        time_us=1_764_000_000_000_000,
        private_key=lab.pem(person),
    )


def give(records: UpstreamRecords, lab: Lab, person: str) -> None:
    envelope = signed(lab, person)
    records.keep(RECORD, records.acceptable(RECORD, envelope, lab.policy), envelope)


def test_two_people_make_a_host_approved(records: UpstreamRecords, lab: Lab) -> None:
    for person in ("approver-1", "approver-2"):
        with pytest.raises(PolicyRefused) as caught:
            records.check(RECORD, lab.policy)
        assert caught.value.code == "not_approved"
        give(records, lab, person)
    records.check(RECORD, lab.policy)
    other = replace(RECORD, url="https://gpu-2:8443")
    assert records.approvals(other, lab.policy) == []


def test_one_person_counts_once(records: UpstreamRecords, lab: Lab) -> None:
    give(records, lab, "approver-1")
    with pytest.raises(PolicyRefused) as caught:
        records.acceptable(RECORD, signed(lab, "approver-1"), lab.policy)
    assert caught.value.code == "approval_duplicate"


@pytest.mark.parametrize(
    ("field", "value"),
    [("url", "https://elsewhere:1"), ("ca", ()), ("fingerprint", "0" * 64), ("model", "x")],
)
def test_an_approval_of_another_record_is_none(
    records: UpstreamRecords, lab: Lab, field: str, value: object
) -> None:
    other = replace(RECORD, **{field: value})  # type: ignore[arg-type]
    with pytest.raises(PolicyRefused) as caught:
        records.acceptable(RECORD, signed(lab, "approver-1", other), lab.policy)
    assert caught.value.code == "approval_other_artifact"
    assert records.approvals(RECORD, lab.policy) == []


def test_what_was_learnt_is_kept(records: UpstreamRecords) -> None:
    assert records.fingerprint("big") is None
    records.learn("big", b"one")
    records.learn("big", b"two")
    assert records.fingerprint("big") == b"two"
