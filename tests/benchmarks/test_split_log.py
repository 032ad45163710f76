"""The two halves of a split log make the entries that the one writer makes."""

import itertools
from pathlib import Path
from unittest import mock

import pytest

from appliance.audit import content, session
from appliance.audit.entry import Draft, encode
from appliance.audit.epoch import EpochLimits
from appliance.audit.files import LogFiles
from appliance.audit.log import AuditLog
from appliance.audit.reader import LogReader
from appliance.clock import SystemClock
from appliance.errors import AuditRefused
from appliance.types import Json, Receipt
from benchmarks.split_log import SealedWriter, sealed

INTENT = Draft("intent", {"request_id": "r", "key_id": "k", "model": "m"}, {"prompt": b"Is\0it?"})


def test_sealed_entries_are_chained_numbered_and_proved_as_all_others(tmp_path: Path) -> None:
    place, clock = tmp_path / "audit", SystemClock()
    AuditLog.create(place, origin="lab.example/split", profile="lab", clock=clock)
    with mock.patch.object(session, "Writer", SealedWriter):
        writing = session.Session.begin(
            LogFiles(place), mode="encrypted", clock=clock, limits=EpochLimits()
        )
    keys = [(f"key-{number}", bytes([number]) * content.KEY_BYTES) for number in range(3)]
    take = iter(keys).__next__

    def appended(*drafts: Draft) -> list[tuple[Receipt, ...] | AuditRefused]:
        groups = [[sealed(draft, "encrypted", take, "boot")] for draft in drafts]
        return writing.commit(groups)  # type: ignore[arg-type] # as the log process does

    (begun,) = appended(INTENT)
    assert isinstance(begun, tuple)
    fields: dict[str, Json] = {"request_id": "r", "intent": begun[0].seq, "status": "ok"}
    other = Draft("outcome", {**fields, "request_id": "other"})
    refused, ended = appended(other, Draft("outcome", fields, {"completion": b"\xff"}))
    assert isinstance(refused, AuditRefused)
    assert isinstance(ended, tuple)
    writing.close()
    reader = LogReader(place)
    entries = reader.range(0, 9)
    assert [one.kind for one in entries] == ["genesis", "intent", "outcome"]
    assert all(encode(one.body) == one.raw for one in entries)
    for before, after in itertools.pairwise(entries):
        assert after.body["prev"] == before.leaf.hex()
    assert reader.proof(ended[0].seq)
    reader.close()


def test_a_front_refuses_a_draft_that_no_entry_may_be() -> None:
    with pytest.raises(AuditRefused, match="not valid"):
        sealed(Draft("intent", {"request_id": "r"}), "off", lambda: ("", b""), "boot")
