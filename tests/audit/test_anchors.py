"""Requests to a witness are C2SP add-checkpoint bodies; tests/auditor has the other side."""

from pathlib import Path

from appliance.audit.checkpoint import COSIGNATURES, VerifierKey
from appliance.audit.reader import LogReader
from tests.audit.epochs import epochs_log

KEY = VerifierKey("w.example/witness", bytes(range(32)), COSIGNATURES)


def test_the_first_request_starts_from_nothing(pristine: Path) -> None:
    reader = LogReader(pristine)
    head, _, note = reader.witness_request(KEY).partition(b"\n\n")
    assert head == b"old 0"
    assert note.decode() == reader.checkpoint()
    reader.close()


def test_each_change_of_keys_goes_along(tmp_path: Path) -> None:
    directory, _ = epochs_log(tmp_path / "log")
    reader = LogReader(directory)
    lines = reader.witness_request(KEY).split(b"\n")
    assert [line.split(b" ")[0] for line in lines[:4]] == [b"handover"] * 3 + [b"old"]
    assert reader.last_witness() is None
    reader.close()
