"""The audit log over the admin socket."""

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.api.admin import audit
from appliance.api.admin.audit import verification
from appliance.api.admin.deps import Person
from appliance.app import Services
from appliance.audit.entry import Draft
from appliance.audit.proof import check_proof
from appliance.audit.search import Query
from appliance.client import AdminClient
from appliance.errors import ApplianceError, Forbidden
from appliance.types import Json, Role
from appliance.wire.admin import models as wire
from appliance.wire.admin.keys import KEY_CREATE, KeyCreate
from appliance.wire.admin.models import EntryQuery, VerifyRange
from tests.api.admin.lab import LabData, Reports


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(ApplianceError) as caught:
        call()
    return caught.value.code


def intent(services: Services, request_id: str, prompt: str = "hello") -> int:
    draft = Draft(
        "intent",
        {"request_id": request_id, "key_id": "k1", "model": "m"},
        {"prompt": prompt.encode()},
    )
    (receipt,) = services.audit.append(draft).result()
    return receipt.seq


def test_the_tail_is_the_newest_oldest_first(services: Services, client: AdminClient) -> None:
    seqs = [intent(services, f"r{n}") for n in range(4)]
    assert [entry.seq for entry in client.call(wire.AUDIT_TAIL, count=3).entries] == seqs[-3:]
    assert client.call(wire.AUDIT_TAIL, count=1_000).entries[0].kind == "genesis"


def test_each_entry_names_the_one_before(services: Services, client: AdminClient) -> None:
    intent(services, "r")
    before, entry = client.call(wire.AUDIT_TAIL, count=2).entries
    assert entry.prev == before.leaf
    assert client.call(wire.AUDIT_ENTRY, seq=entry.seq) == entry


def test_a_search_matches_every_condition_and_pages(
    services: Services, client: AdminClient
) -> None:
    seqs = [intent(services, f"r{n}") for n in range(3)]
    assert [
        e.seq for e in client.call(wire.AUDIT_ENTRIES, EntryQuery(request_id="r1")).entries
    ] == [seqs[1]]
    assert client.call(wire.AUDIT_ENTRIES, EntryQuery(request_id="r1", kind="admin")).entries == []
    first = client.call(wire.AUDIT_ENTRIES, EntryQuery(model="m", limit=2))
    assert ([e.seq for e in first.entries], first.next_after) == (seqs[:2], seqs[1])
    rest = client.call(wire.AUDIT_ENTRIES, EntryQuery(model="m", limit=2, after=first.next_after))
    assert ([e.seq for e in rest.entries], rest.next_after) == (seqs[2:], None)
    newest = client.call(wire.AUDIT_ENTRIES, EntryQuery(model="m", limit=2, order="newest"))
    assert ([e.seq for e in newest.entries], newest.next_before) == (seqs[:0:-1], seqs[1])
    assert newest.next_after is None
    last = EntryQuery(model="m", limit=2, order="newest", before=newest.next_before)
    assert [e.seq for e in client.call(wire.AUDIT_ENTRIES, last).entries] == seqs[:1]
    assert client.call(wire.AUDIT_ENTRIES, EntryQuery(app="nobody")).entries == []
    assert client.call(wire.AUDIT_ENTRIES, EntryQuery(code="stop")).entries == []
    assert client.call(wire.AUDIT_ENTRIES, EntryQuery(since="2099-01-01")).entries == []
    assert (
        len(client.call(wire.AUDIT_ENTRIES, EntryQuery(until="2099-01-01", key_id="k1")).entries)
        == 3
    )
    assert (
        code_of(lambda: client.call(wire.AUDIT_ENTRIES, EntryQuery(since="yesterday")))
        == "invalid_value"
    )


def test_texts_are_shown_when_asked_for_and_that_is_recorded(
    services: Services, client: AdminClient
) -> None:
    seq = intent(services, "r", "how much?")
    assert client.call(wire.AUDIT_ENTRY, seq=seq).content is None
    assert services.reader.search(Query(kind="admin")).entries == []
    assert client.call(wire.AUDIT_ENTRY, seq=seq, content=True).content == {"prompt": "how much?"}
    (read,) = services.reader.search(Query(kind="admin")).entries
    assert (read.body["action"], read.body["entry"]) == ("content_read", seq)


def test_a_search_by_a_persons_name_takes_an_admin_and_is_recorded(
    services: Services, client: AdminClient
) -> None:
    ann = services.end_users.claimed("ann")
    assert ann is not None
    draft = Draft(
        "intent", {"request_id": "r", "key_id": "k1", "model": "m", **ann.fields()}, ann.texts()
    )
    (receipt,) = services.audit.append(draft).result()
    found = client.call(wire.AUDIT_ENTRIES, EntryQuery(end_user=" ann "))
    assert [entry.seq for entry in found.entries] == [receipt.seq]
    (read,) = services.reader.search(Query(kind="admin")).entries
    assert (read.body["action"], read.body["about"]) == ("person_search", ann.alias)
    by_alias = EntryQuery(end_user=ann.alias, kind="intent")
    assert [e.seq for e in client.call(wire.AUDIT_ENTRIES, by_alias).entries] == [receipt.seq]
    assert len(services.reader.search(Query(kind="admin")).entries) == 1  # that resolves nothing
    viewer = Person(4711, Role.VIEWER)
    with pytest.raises(Forbidden):
        audit.search(viewer, services, EntryQuery(end_user="ann"))
    assert isinstance(audit.search(viewer, services, by_alias), wire.EntryList)


def test_a_persons_name_is_erased_with_the_texts_and_the_log_verifies(
    services: Services, client: AdminClient
) -> None:
    ann = services.end_users.claimed("ann")
    assert ann is not None
    who = {"request_id": "r-1", "key_id": "k1", "model": "m", **ann.fields()}
    (receipt,) = services.audit.append(Draft("intent", who, ann.texts())).result()
    shown = client.call(wire.AUDIT_ENTRY, seq=receipt.seq, content=True)
    assert shown.content == {"end_user": "ann"}
    ended: dict[str, Json] = {"intent": receipt.seq, "request_id": "r-1", "status": "ok"}
    services.audit.append(Draft("outcome", ended)).result()
    client.call(wire.ERASE, wire.Erasure(request_id="r-1", reason="asked for"))
    assert code_of(
        lambda: client.call(wire.AUDIT_ENTRY, seq=receipt.seq, content=True)
    ) in ("content_unavailable", "erased")  # fmt: skip
    assert client.call(wire.AUDIT_VERIFY, VerifyRange(), report=Reports()).ok


def test_an_entry_without_texts_has_none_to_show(client: AdminClient) -> None:
    assert client.call(wire.AUDIT_ENTRY, seq=0, content=True).content == {}


def test_a_proof_holds_for_the_genesis_key(
    lab: LabData, services: Services, client: AdminClient
) -> None:
    seq = intent(services, "r")
    genesis = (lab.data / "audit" / "genesis.pub").read_bytes()
    result = check_proof(client.call(wire.AUDIT_PROOF, seq=seq), genesis)
    assert (result.seq, result.body["request_id"]) == (seq, "r")


def test_entries_that_do_not_exist(client: AdminClient) -> None:
    assert code_of(lambda: client.call(wire.AUDIT_ENTRY, seq=99)) == "not_found"
    assert code_of(lambda: client.call(wire.AUDIT_PROOF, seq=99)) == "not_found"
    assert code_of(lambda: client.call(wire.AUDIT_ENTRY, seq=-1)) == "invalid_value"
    assert code_of(lambda: client.call(wire.AUDIT_TAIL, count=0)) == "invalid_value"
    assert code_of(lambda: client.call(wire.AUDIT_TAIL, count=1_001)) == "invalid_value"


def test_a_good_log_verifies(services: Services, client: AdminClient) -> None:
    client.call(KEY_CREATE, KeyCreate(name="app"))
    reports = Reports()
    found = client.call(wire.AUDIT_VERIFY, VerifyRange(), report=reports)
    assert (found.ok, found.problems) == (True, [])
    assert (found.entries, found.first, found.last) == (3, 0, 2)  # the job's start among them
    assert found.root == services.reader.root_before(3)


def test_a_range_can_be_verified(services: Services, client: AdminClient) -> None:
    for n in range(5):
        intent(services, f"r{n}")
    found = client.call(wire.AUDIT_VERIFY, VerifyRange(first=2, last=3), report=Reports())
    assert (found.ok, found.first, found.last) == (True, 2, 3)
    assert (
        code_of(lambda: client.call(wire.AUDIT_VERIFY, VerifyRange(first=99), report=Reports()))
        == "not_found"
    )


def test_another_genesis_key_is_a_problem(services: Services, client: AdminClient) -> None:
    other = "other+00000000+" + "A" * 44
    wanted = VerifyRange(genesis_key=other)
    assert (
        code_of(lambda: client.call(wire.AUDIT_VERIFY, wanted, report=Reports()))
        == "audit_key_invalid"
    )


def test_verification_needs_the_files_alone(lab: LabData) -> None:
    reports = Reports()
    found = verification(lab.data, VerifyRange(), reports)
    assert found.ok
    assert set(reports.phases) <= {"verifying"}


def test_there_is_no_log_to_verify(tmp_path: Path) -> None:
    assert code_of(lambda: verification(tmp_path, VerifyRange(), Reports())) == "data_missing"
