"""Forward security: a later key against earlier entries (cases 11, 12, 16)."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit.checkpoint import Checkpoint, sign
from appliance.audit.merkle import Frontier
from appliance.audit.reader import LogReader
from appliance.audit.verification.verify import verify_log
from appliance.errors import AuditRefused
from tests.audit.epochs import epochs_log, open_epochs
from tests.audit.logs import Intruder, Row, admin, cut, found, open_log, raw_body

Forged = tuple[Path, list[Ed25519PrivateKey], Intruder]


@pytest.fixture
def epochs(tmp_path: Path) -> Forged:
    """Handovers are entries 3, 6 and 9; epoch 3 is open."""
    directory, keys = epochs_log(tmp_path / "log")
    with open_log(directory) as log:
        log.append(admin("now")).result()
    return directory, keys, Intruder(directory)


def changed(intruder: Intruder, seq: int) -> list[Row]:
    rows = intruder.rows()
    bodies = [row.body for row in rows]
    bodies[seq] = raw_body({**rows[seq].fields(), "time_us": 1})
    return intruder.rechain(bodies)


def signed_by(intruder: Intruder, keys: list[Ed25519PrivateKey], first: int) -> None:
    """Sign the heads over entries from `first` on; `keys` chooses the key of each."""
    rows, frontier = intruder.rows(), Frontier()
    for row in rows:
        frontier.append(row.hash)
        if frontier.size > first:
            head = Checkpoint("appliance.example/audit/test", frontier.size, frontier.root())
            note = sign(head, *keys)
            intruder.sql(
                f"UPDATE checkpoint SET note = ? WHERE size = {frontier.size}", values=(note,)
            )
            intruder.files.head.write_bytes(note)


def test_control_several_epochs_verify(epochs: Forged) -> None:
    directory, _, intruder = epochs
    assert [row.fields()["epoch"] for row in intruder.rows()] == [0] * 4 + [1] * 3 + [2] * 3 + [3]
    assert found(directory) == []
    for first in range(11):
        assert verify_log(directory, first=first).ok


@pytest.mark.parametrize("seq", [1, 2, 4, 5, 7, 8])
def test_11_an_earlier_epoch_rewritten_with_the_current_key(epochs: Forged, seq: int) -> None:
    directory, keys, intruder = epochs
    intruder.write(changed(intruder, seq))
    signed_by(intruder, [keys[3]], seq)
    problems = found(directory)
    assert problems[0] == (seq, "checkpoint_invalid")
    assert (seq, "unsigned") in problems or (10, "root_mismatch") not in problems


def test_11_control_with_every_epochs_own_key_nobody_could_tell(epochs: Forged) -> None:
    """The range rule makes the difference: with key 3 in its own range all verifies."""
    directory, keys, intruder = epochs
    intruder.write(changed(intruder, 10))
    signed_by(intruder, [keys[3]], 10)
    assert found(directory) == []


@pytest.mark.parametrize("seq", [3, 6, 9])
def test_12_a_handover_dropped(epochs: Forged, seq: int) -> None:
    directory, _, intruder = epochs
    intruder.write([row for row in intruder.rows() if row.seq != seq])
    assert found(directory)[0] == (seq, "entry_missing")


@pytest.mark.parametrize("seq", [3, 6, 9])
def test_12_a_handover_made_into_something_else(epochs: Forged, seq: int) -> None:
    directory, keys, intruder = epochs
    rows = intruder.rows()
    bodies = [row.body for row in rows]
    fields = rows[seq].fields()
    for name in ("next_key", "signature", "reason"):
        del fields[name]
    bodies[seq] = raw_body({**fields, "kind": "admin", "actor": "uid:0", "action": "x"})
    intruder.write(intruder.rechain(bodies))
    signed_by(intruder, [keys[3]], seq)
    assert min(found(directory))[0] == seq


def test_12_a_handover_to_the_attackers_key(epochs: Forged) -> None:
    directory, keys, intruder = epochs
    mine = Ed25519PrivateKey.generate()
    rows = intruder.rows()
    bodies = [row.body for row in rows]
    public = mine.public_key().public_bytes_raw().hex()
    bodies[6] = raw_body({**rows[6].fields(), "next_key": public})
    intruder.write(intruder.rechain(bodies))
    signed_by(intruder, [keys[3], mine], 6)
    assert (6, "handover_invalid") in found(directory)


def test_an_epoch_that_its_own_key_never_closed(epochs: Forged) -> None:
    directory, _, intruder = epochs
    intruder.sql("DELETE FROM checkpoint WHERE size = 7")
    assert (6, "epoch_unclosed") in found(directory)


def test_16_cut_to_the_end_of_an_epoch_and_continued(epochs: Forged) -> None:
    directory, keys, intruder = epochs
    cut(intruder, 7)
    bodies = [row.body for row in intruder.rows()]
    last = json.loads(bodies[-1])
    new = {**last, "kind": "admin", "actor": "uid:0", "action": "x", "epoch": 2}
    for name in ("next_key", "signature", "reason"):
        del new[name]
    intruder.write(intruder.rechain([*bodies, raw_body(new)]))
    intruder.sql("INSERT INTO checkpoint VALUES (8, x'')")
    signed_by(intruder, [keys[3]], 7)
    problems = found(directory)
    assert (7, "checkpoint_invalid") in problems
    assert (7, "unsigned") in problems


def test_a_proof_by_a_later_key_is_refused(epochs: Forged) -> None:
    directory, keys, intruder = epochs
    intruder.write(changed(intruder, 5))
    signed_by(intruder, [keys[3]], 5)
    reader = LogReader(directory)
    with pytest.raises(AuditRefused):
        reader.proof(5)
    reader.close()


def test_a_log_of_many_epochs_goes_on(tmp_path: Path) -> None:
    directory, _ = epochs_log(tmp_path / "log", 12)
    with open_epochs(directory) as log:
        log.new_epoch().result()
    assert found(directory) == []
