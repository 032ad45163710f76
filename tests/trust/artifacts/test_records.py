"""Records of models."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from appliance.db import open_database
from appliance.errors import CODES
from appliance.facts import UnreadFacts
from appliance.trust.artifacts import records as module
from appliance.trust.artifacts.records import ROUNDS, TABLES, ModelRecord, ModelState, Records


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(open_database(tmp_path / "appliance.db", [TABLES, ROUNDS]))


def test_a_record_comes_back_as_it_was_saved(records: Records) -> None:
    record = ModelRecord(
        "m",
        "refused",
        "ab" * 32,
        "file_changed",
        "x is not what was signed",
        7,
        UnreadFacts({"n_layer": 2}),
    )
    records.save(record)
    assert records.find("m") == record
    assert record.hint == CODES["file_changed"].hint
    assert records.find("other") is None


def test_saving_replaces_and_keeps_approvals_unless_it_is_a_new_artifact(records: Records) -> None:
    records.save(ModelRecord("m", "quarantined"))
    records.add_approval("m", "k1", b"one")
    records.save(ModelRecord("m", "verified"))
    assert records.approvals("m") == [b"one"]
    records.save(ModelRecord("m", "quarantined"), fresh=True)
    assert records.approvals("m") == []
    assert [record.state for record in records.all()] == ["quarantined"]


def test_one_approval_per_key(records: Records) -> None:
    records.save(ModelRecord("m", "verified"))
    for key, envelope in (("k2", b"two"), ("k1", b"old"), ("k1", b"one")):
        records.add_approval("m", key, envelope)
    assert records.approvals("m") == [b"one", b"two"]
    assert records.approvals("m", but="k1") == [b"two"]


def test_an_approval_and_the_state_that_follows_are_one_transaction(records: Records) -> None:
    records.save(ModelRecord("m", "suspended", code="other_engine", message="why"))
    records.add_approval("m", "k1", b"one")
    found = records.find("m")
    assert found is not None and (found.state, found.message) == ("suspended", "why")
    with pytest.raises(ValueError, match="nothing"):
        records.add_approval("m", "k2", b"two", "nothing")
    assert records.approvals("m") == [b"one"]
    records.add_approval("m", "k2", b"two", "approved")
    assert records.find("m") == ModelRecord("m", "approved")


def test_records_are_listed_by_id_and_deleted_with_their_approvals(records: Records) -> None:
    for name in ("b", "a"):
        records.save(ModelRecord(name, "verified"))
        records.add_approval(name, "k", b"x")
    assert [record.id for record in records.all()] == ["a", "b"]
    records.delete("a")
    records.delete("a")
    assert (records.find("a"), records.approvals("a")) == (None, [])
    assert records.approvals("b") == [b"x"]


def test_records_are_read_once_after_each_change(records: Records) -> None:
    reads: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT"):
            reads.append(statement)

    event.listen(records._database, "before_cursor_execute", note)
    records.save(ModelRecord("m", "verified"))
    for _ in range(3):
        assert records.find("m") == records.all()[0] == ModelRecord("m", "verified")
        assert records.find("another") is None
    assert len(reads) == 1
    records.save(ModelRecord("m", "suspended"))
    assert records.find("m") == ModelRecord("m", "suspended")
    records.delete("m")
    assert records.find("m") is None
    assert len(reads) == 3


def test_what_changes_while_records_are_read_is_read_again(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.save(ModelRecord("m", "approved"))
    select = module._select

    def slow(connection: Any) -> list[ModelRecord]:
        found = select(connection)
        records._change = object()  # a change that ends before the reader has kept what it read
        return found

    monkeypatch.setattr(module, "_select", slow)
    assert records.find("m") == ModelRecord("m", "approved")
    monkeypatch.setattr(module, "_select", lambda connection: [ModelRecord("m", "suspended")])
    assert records.find("m") == ModelRecord("m", "suspended")


def test_an_unknown_state_is_not_saved(records: Records) -> None:
    with pytest.raises(ValueError):
        records.save(ModelRecord("m", "blessed"))
    assert records.all() == []
    assert ModelRecord("m", ModelState.SERVING).hint == ""
