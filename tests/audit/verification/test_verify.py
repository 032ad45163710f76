"""Verification as a whole: controls, the tail, HEAD, receipts, texts, ranges, a log in use.

The numbers in names are those of the design's tamper cases; test_entries.py has changed entries.
"""

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit.checkpoint import VerifierKey
from appliance.audit.reader import LogReader
from appliance.audit.verification.findings import VerificationReport
from appliance.audit.verification.verify import verify_log
from appliance.errors import AuditRefused, NotFound, StateRefused
from appliance.types import Receipt
from tests.audit.logs import (
    ORIGIN,
    Intruder,
    admin,
    ask,
    consistent,
    copy,
    cut,
    erasure,
    found,
    intent,
    new_log,
    open_log,
    root_line,
)

# Controls: without these every test below could pass for another reason.


def test_an_unchanged_log_verifies(pristine: Path) -> None:
    steps: list[tuple[int, int]] = []
    report = verify_log(pristine, progress=lambda done, total: steps.append((done, total)))
    assert report.ok
    assert (report.entries, report.first, report.last) == (40, 0, 39)
    assert (report.open_intents, report.unwitnessed) == (0, 40)
    assert base64.b64encode(bytes.fromhex(report.root)) == root_line(pristine)
    assert steps[-1] == (40, 40)


def test_rewriting_the_table_alone_changes_nothing(intruder: Intruder, victim: Path) -> None:
    intruder.write(intruder.rows())
    assert found(victim) == []


def test_rechaining_and_resigning_what_was_there_changes_nothing(
    intruder: Intruder, victim: Path
) -> None:
    intruder.write(intruder.rechain([row.body for row in intruder.rows()]))
    intruder.resign()
    assert found(victim) == []


def test_14_another_genesis_key_beside_the_log(intruder: Intruder, victim: Path) -> None:
    other = VerifierKey(ORIGIN, Ed25519PrivateKey.generate().public_key().public_bytes_raw())
    intruder.files.genesis.write_text(other.encode() + "\n", encoding="ascii")
    assert (0, "genesis_mismatch") in found(victim)


def test_14_a_whole_log_by_another_key(victim: Path, tmp_path: Path) -> None:
    kept = (victim / "genesis.pub").read_bytes()
    forged = new_log(tmp_path / "forged")
    assert found(forged) == []
    assert (0, "genesis_mismatch") in found(forged, genesis_public=kept)


def test_28_the_log_of_another_appliance(victim: Path, tmp_path: Path) -> None:
    foreign = new_log(tmp_path / "foreign", origin="other.example/audit")
    kept = (victim / "genesis.pub").read_bytes()
    assert (0, "genesis_mismatch") in found(foreign, genesis_public=kept)


def test_28_heads_under_another_name(intruder: Intruder, victim: Path) -> None:
    intruder.resign(origin="other.example/audit")
    codes = found(victim)
    assert (0, "unsigned") in codes
    assert (39, "head_mismatch") not in codes
    assert {code for _, code in codes} == {"unsigned", "checkpoint_invalid"}


# The tail.


def test_15_a_tail_cut_off_under_head(intruder: Intruder, victim: Path) -> None:
    cut(intruder, 10)
    assert found(victim) == [(10, "tail_missing")]
    with pytest.raises(AuditRefused, match="HEAD has seen 40"):
        open_log(victim)


def test_15_a_tail_cut_off_under_the_newest_head(intruder: Intruder, victim: Path) -> None:
    intruder.sql("DELETE FROM leaf WHERE seq >= 10", "DELETE FROM content WHERE seq >= 10")
    intruder.files.head.write_bytes(LogReader(victim).checkpoint().encode())
    assert found(victim) == [(10, "tail_missing"), (10, "tail_missing")]


def test_17_a_tail_cut_off_with_head_shows_against_a_receipt(
    intruder: Intruder, victim: Path
) -> None:
    lost = intruder.rows()[20]
    cut(intruder, 10)
    report = verify_log(victim)
    intruder.resign()
    assert found(victim) == []  # nothing inside the log can tell, so the report says:
    assert report.unwitnessed == 10
    receipt = Receipt(20, lost.hash, 40)
    assert found(victim, receipts=[receipt]) == [(20, "receipt_mismatch")]


def test_receipts_that_hold_are_no_problem(intruder: Intruder, victim: Path) -> None:
    receipts = [Receipt(row.seq, row.hash, 40) for row in intruder.rows()]
    assert found(victim, receipts=receipts) == []


def test_head_missing_changed_or_of_another_log(intruder: Intruder, victim: Path) -> None:
    head = intruder.files.head
    note = head.read_bytes()
    head.unlink()
    assert found(victim) == [(39, "head_missing")]
    head.write_bytes(b"?")
    assert found(victim) == [(39, "head_invalid")]
    head.write_bytes(note.replace(b"\n40\n", b"\n39\n"))
    assert found(victim) == [(38, "head_mismatch")]
    head.write_bytes(note)
    assert found(victim) == []


# Texts and links.


def test_24_two_ciphertexts_swapped(intruder: Intruder, victim: Path) -> None:
    intruder.sql("UPDATE content SET seq = seq + 100 WHERE seq IN (2, 4)")
    intruder.sql("UPDATE content SET seq = 106 - seq WHERE seq > 100")
    assert found(victim) == [(2, "content_mismatch"), (4, "content_mismatch")]


def test_24_a_ciphertext_changed_removed_or_added(intruder: Intruder, victim: Path) -> None:
    intruder.sql("UPDATE content SET nonce = zeroblob(12) WHERE seq = 2")
    intruder.sql("DELETE FROM content WHERE seq = 20")
    intruder.sql("INSERT INTO content VALUES (1, 'prompt', x'00', x'00')")
    assert found(victim) == [
        (1, "content_unexpected"),
        (2, "content_mismatch"),
        (20, "content_missing"),
    ]


def test_an_intent_still_open_is_no_problem(victim: Path) -> None:
    with open_log(victim) as log:
        log.append(intent("open")).result()
        report = verify_log(victim)
    assert report.ok
    assert report.open_intents == 1


def test_a_row_before_the_first(intruder: Intruder, victim: Path) -> None:
    rows = intruder.rows()
    intruder.write([replace(rows[3], seq=-1), *rows])
    assert found(victim) == [(0, "entry_unexpected")]


def test_an_emptied_log(intruder: Intruder, victim: Path) -> None:
    cut(intruder, 0)
    assert found(victim) == [(0, "genesis_mismatch"), (0, "tail_missing")]


def test_a_stored_node_that_is_not_the_trees(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    with open_log(directory) as log:
        log.append(*(admin(str(i)) for i in range(400))).result()
    assert found(directory) == []
    Intruder(directory).sql("UPDATE node SET hash = zeroblob(32)")
    assert found(directory) == [(255, "node_mismatch")]


# Ranges, and a log in use.


def ranged(directory: Path, first: int, last: int | None) -> VerificationReport:
    return verify_log(directory, first=first, last=last)


@pytest.mark.parametrize(
    ("first", "last", "end"), [(0, 5, 5), (7, 9, 9), (15, 20, 29), (5, None, 39)]
)
def test_a_range_ends_with_a_signed_head(
    pristine: Path, first: int, last: int | None, end: int
) -> None:
    report = ranged(pristine, first, last)
    assert report.ok
    assert (report.first, report.last, report.entries) == (first, end, end + 1 - first)


def test_a_range_is_proved_by_heads_over_what_came_before(intruder: Intruder, victim: Path) -> None:
    intruder.change(20, lambda row: consistent(row, time_us=1))
    assert [p.seq for p in ranged(victim, 18, None).problems] == [20]
    assert ranged(victim, 2, 13).ok
    # Entry 20 lies before this range, but the heads in the range cover it.
    assert not ranged(victim, 25, None).ok


def test_a_range_outside_the_log_is_refused(pristine: Path) -> None:
    for first, last in [(40, None), (-1, None), (5, 4), (0, 40)]:
        with pytest.raises(NotFound, match="40 entries"):
            ranged(pristine, first, last)


def test_a_log_in_use_verifies_again_and_again(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    with open_log(directory) as log:
        for i in range(30):
            asked = [log.append(intent(f"r{i}-{n}")) for n in range(5)]
            assert found(directory) == []
            for future in asked:
                future.result()
        ask(log, "last")
    assert found(directory) == []


def test_a_damaged_database_is_told_and_does_not_leak(victim: Path) -> None:
    path = victim / "log.db"
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    path.write_bytes(data)
    report = verify_log(victim)
    assert (report.ok, report.entries, report.last) == (False, 0, None)
    assert [(p.seq, p.code) for p in report.problems] == [(0, "database_damaged")]


def test_no_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(StateRefused) as caught:
        verify_log(tmp_path)
    assert caught.value.code == "data_missing"


def test_erasing_a_text_leaves_the_log_verifying(victim: Path, tmp_path: Path) -> None:
    untouched = copy(victim, tmp_path / "untouched")
    reader = LogReader(victim)
    assert reader.content(2, "prompt").startswith(b"What is")
    with open_log(victim) as log:
        log.append(erasure(reader, "single-0", "uid:0", "asked")).result()
    reader.close()
    assert found(victim) == []
    erased = LogReader(victim)
    with pytest.raises(AuditRefused, match="erased") as caught:
        erased.content(2, "prompt")
    assert caught.value.code == "content_unavailable"
    assert erased.content(4, "prompt").startswith(b"What is")
    assert LogReader(untouched).content(2, "prompt").startswith(b"What is")
    erased.close()


def test_values_of_other_types_are_findings_and_not_crashes(
    intruder: Intruder, victim: Path
) -> None:
    intruder.write(intruder.rows(), disguised=False)  # without STRICT
    intruder.sql(
        "UPDATE leaf SET body = NULL WHERE seq = 3",
        "UPDATE leaf SET prev = 5, hash = 'x' WHERE seq = 20",
        "DROP TABLE checkpoint",
        "CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, note)",
        "INSERT INTO checkpoint VALUES (4, NULL), (5, 'text'), (40, 1.5)",
    )
    codes = found(victim)
    assert {(3, "body_invalid"), (3, "leaf_mismatch"), (20, "leaf_mismatch")} <= set(codes)
    assert {(3, "checkpoint_invalid"), (4, "checkpoint_invalid")} <= set(codes)


def test_a_range_behind_a_gap_is_told_and_read_on(intruder: Intruder, victim: Path) -> None:
    intruder.sql("DELETE FROM leaf WHERE seq = 12")
    problems = found(victim, first=15)
    assert problems[0] == (15, "tree_incomplete")
