"""Every way to change a log that this version can meet, each found at the right entry.

The numbers in comments are those of the tamper cases that the design lists. Entries 2 to 13
were committed one by one, 14 to 29 and 30 to 39 in one commit each: there a head proves only
the whole commit, and the chain has to name the entry.
"""

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit.checkpoint import VerifierKey
from appliance.audit.merkle import leaf_hash
from appliance.audit.reader import LogReader
from appliance.audit.verify import Report, verify_log
from appliance.errors import AuditRefused, AuditUnavailable, NotFound, StateRefused
from appliance.types import Receipt
from tests.audit.logs import (
    ORIGIN,
    Intruder,
    Row,
    admin,
    ask,
    consistent,
    copy,
    destroy_key,
    intent,
    new_log,
    open_log,
    raw_body,
)

EVERYWHERE = [2, 3, 8, 13, 14, 15, 20, 28, 29, 30, 35]


def found(directory: Path, **options: Any) -> list[tuple[int, str]]:
    report = verify_log(directory, **options)
    assert report.ok == (not report.problems)
    return [(p.seq, p.code) for p in report.problems]


def root_line(directory: Path) -> bytes:
    return (directory / "HEAD").read_bytes().split(b"\n")[2]


def flip(value: bytes, place: int = 10) -> bytes:
    return value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]


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


# One row.


@pytest.mark.parametrize("seq", EVERYWHERE)
def test_1_a_bit_in_a_body(intruder: Intruder, victim: Path, seq: int) -> None:
    def how(row: Row) -> Row:
        return replace(row, body=row.body.replace(b'"boot_id":"', b'"boot_id":"x', 1))

    intruder.change(seq, how)
    assert found(victim) == [(seq, "leaf_mismatch")]


@pytest.mark.parametrize("seq", EVERYWHERE)
def test_2_a_bit_in_a_stored_hash(intruder: Intruder, victim: Path, seq: int) -> None:
    intruder.change(seq, lambda row: replace(row, hash=flip(row.hash)))
    assert found(victim) == [(seq, "leaf_mismatch")]


@pytest.mark.parametrize("seq", EVERYWHERE)
def test_3_a_bit_in_a_stored_prev(intruder: Intruder, victim: Path, seq: int) -> None:
    intruder.change(seq, lambda row: replace(row, prev=flip(row.prev)))
    assert found(victim) == [(seq, "prev_mismatch")]


@pytest.mark.parametrize("seq", EVERYWHERE)
def test_4_body_and_hash_changed_together(intruder: Intruder, victim: Path, seq: int) -> None:
    intruder.change(seq, lambda row: consistent(row, time_us=1))
    assert [place for place, _ in found(victim)] == [seq]


@pytest.mark.parametrize("seq", [14, 20, 28])
def test_4_another_predecessor_too(intruder: Intruder, victim: Path, seq: int) -> None:
    other = bytes(range(32))
    intruder.change(seq, lambda row: replace(consistent(row, prev=other.hex()), prev=other))
    assert found(victim) == [(seq, "chain_broken")]


def test_4_in_the_newest_entry_the_head_tells(intruder: Intruder, victim: Path) -> None:
    # Nothing follows entry 39, so the finding names where the last unproved commit begins.
    intruder.change(39, lambda row: consistent(row, time_us=1))
    assert found(victim) == [(30, "root_mismatch")]


# Rows taken away, put in, moved.


@pytest.mark.parametrize("seq", EVERYWHERE)
def test_5_a_row_deleted(intruder: Intruder, victim: Path, seq: int) -> None:
    intruder.write([row for row in intruder.rows() if row.seq != seq])
    assert found(victim)[0] == (seq, "entry_missing")


@pytest.mark.parametrize("seq", EVERYWHERE)
def test_6_a_row_deleted_and_the_rest_renumbered(
    intruder: Intruder, victim: Path, seq: int
) -> None:
    rows = [row for row in intruder.rows() if row.seq != seq]
    intruder.write([replace(row, seq=n) for n, row in enumerate(rows)])
    assert found(victim)[0] == (seq, "seq_mismatch")


@pytest.mark.parametrize("seq", EVERYWHERE)
def test_7_two_rows_swapped(intruder: Intruder, victim: Path, seq: int) -> None:
    rows = intruder.rows()
    rows[seq], rows[seq + 1] = replace(rows[seq + 1], seq=seq), replace(rows[seq], seq=seq + 1)
    intruder.write(rows)
    assert found(victim)[0] == (seq, "seq_mismatch")


def test_8_a_row_again_at_the_end(intruder: Intruder, victim: Path) -> None:
    rows = intruder.rows()
    intruder.write([*rows, replace(rows[20], seq=40)])
    assert (40, "seq_mismatch") in found(victim)


@pytest.mark.parametrize("seq", EVERYWHERE)
def test_9_a_back_dated_row_put_in(intruder: Intruder, victim: Path, seq: int) -> None:
    rows = intruder.rows()
    forged = consistent(rows[seq], time_us=1, action="grant", kind="admin", actor="uid:0")
    later = [replace(row, seq=row.seq + 1) for row in rows[seq:]]
    intruder.write([*rows[:seq], forged, *later])
    assert found(victim)[0][0] == seq


# Everything recomputed.


@pytest.mark.parametrize("seq", [2, 8, 13])
def test_10_recomputed_without_the_key(intruder: Intruder, victim: Path, seq: int) -> None:
    bodies = [row.body for row in intruder.rows()]
    bodies[seq] = raw_body({**intruder.rows()[seq].fields(), "time_us": 1})
    intruder.write(intruder.rechain(bodies))
    assert (seq, "root_mismatch") in found(victim)


def test_10_recomputed_and_signed_with_another_key(intruder: Intruder, victim: Path) -> None:
    bodies = [row.body for row in intruder.rows()]
    bodies[8] = raw_body({**intruder.rows()[8].fields(), "time_us": 1})
    intruder.write(intruder.rechain(bodies))
    intruder.resign(Ed25519PrivateKey.generate())
    codes = found(victim)
    assert (0, "unsigned") in codes
    assert (8, "checkpoint_invalid") in codes


def test_10_heads_removed_with_the_rows_recomputed(intruder: Intruder, victim: Path) -> None:
    bodies = [row.body for row in intruder.rows()]
    bodies[13] = raw_body({**intruder.rows()[13].fields(), "time_us": 1})
    intruder.write(intruder.rechain(bodies))
    intruder.sql("DELETE FROM checkpoint WHERE size > 13")
    assert (13, "unsigned") in found(victim)


@pytest.mark.parametrize("size", [3, 14, 30])
def test_13_a_signature_stripped(intruder: Intruder, victim: Path, size: int) -> None:
    bare = "substr(note, 1, instr(note, x'0a0a') + 1)"
    intruder.sql(f"UPDATE checkpoint SET note = {bare} WHERE size = {size}")
    assert found(victim) == [(size - 1, "checkpoint_invalid")]


def test_13_all_signatures_stripped(intruder: Intruder, victim: Path) -> None:
    intruder.sql("DELETE FROM checkpoint")
    assert (0, "unsigned") in found(victim)


def test_13_a_head_filed_under_another_size(intruder: Intruder, victim: Path) -> None:
    intruder.sql(
        "UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE size = 4) WHERE size = 5"
    )
    assert found(victim) == [(4, "checkpoint_invalid")]


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


def cut(intruder: Intruder, size: int) -> None:
    intruder.sql(
        f"DELETE FROM content WHERE seq >= {size}",
        f"DELETE FROM checkpoint WHERE size > {size}",
        f"DELETE FROM leaf WHERE seq >= {size}",
    )


def test_15_a_tail_cut_off_under_head(intruder: Intruder, victim: Path) -> None:
    cut(intruder, 10)
    assert found(victim) == [(10, "tail_missing")]
    with pytest.raises(AuditRefused, match="HEAD has seen 40"):
        open_log(victim)


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


def signed_change(intruder: Intruder, seq: int, how: Callable[[dict[str, Any]], Any]) -> None:
    """Someone with the log's key changes an entry and makes everything after it fit."""
    rows = intruder.rows()
    bodies = [row.body for row in rows]
    fields = rows[seq].fields()
    how(fields)
    bodies[seq] = raw_body(fields)
    intruder.write(intruder.rechain(bodies))
    intruder.resign()


@pytest.mark.parametrize("asked", [0, 1, 5, 6, 7, 39, 1000])
def test_25_an_outcome_that_names_another_intent(
    intruder: Intruder, victim: Path, asked: int
) -> None:
    signed_change(intruder, 7, lambda fields: fields.update(intent=asked))
    # 6 is the right one: the control.
    assert found(victim) == ([] if asked == 6 else [(7, "outcome_orphan")])


def test_25_an_outcome_of_another_request(intruder: Intruder, victim: Path) -> None:
    signed_change(intruder, 7, lambda fields: fields.update(request_id="other"))
    assert found(victim) == [(7, "outcome_mismatch")]


def test_26_an_outcome_without_an_intent(intruder: Intruder, victim: Path) -> None:
    def how(fields: dict[str, Any]) -> None:
        fields.update(kind="admin", actor="uid:0", action="x")
        del fields["content"]

    signed_change(intruder, 6, how)
    intruder.sql("DELETE FROM content WHERE seq = 6")
    assert found(victim) == [(7, "outcome_orphan")]


def test_26_an_intent_without_an_outcome(intruder: Intruder, victim: Path) -> None:
    def how(fields: dict[str, Any]) -> None:
        fields.update(kind="start")
        del fields["content"], fields["intent"]

    signed_change(intruder, 7, how)
    intruder.sql("DELETE FROM content WHERE seq = 7")
    assert found(victim) == [(6, "outcome_missing")]


def test_an_intent_still_open_is_no_problem(victim: Path) -> None:
    with open_log(victim) as log:
        log.append(intent("open")).result()
        report = verify_log(victim)
    assert report.ok
    assert report.open_intents == 1


# Form.


@pytest.mark.parametrize(
    "spelling",
    [
        lambda body: body.replace(b'{"', b'{ "', 1),
        lambda body: body.replace(b'"v":1', b'"v":1,"v":1'),
        lambda body: body.replace(b'"v":1', b'"v":1.0'),
        lambda body: body.replace(b'"actor"', b'"\\u0061ctor"'),
        lambda body: body.replace(b'"v":1', b'"v":2'),
        lambda body: body.replace(b'"kind":"admin"', b'"kind":"nothing"'),
        lambda body: body.replace(b'"actor":"uid:0",', b""),
        lambda _: b"",
        lambda _: b"\xff\x00",
    ],
)
def test_27_signed_bytes_that_are_no_canonical_entry(
    intruder: Intruder, victim: Path, spelling: Callable[[bytes], bytes]
) -> None:
    rows = intruder.rows()
    last = rows[39]
    body = spelling(last.body)
    assert body != last.body
    intruder.write([*rows[:39], replace(last, body=body, hash=leaf_hash(body))])
    intruder.resign()
    assert found(victim) == [(39, "body_invalid")]


def test_an_epoch_without_a_key(intruder: Intruder, victim: Path) -> None:
    signed_change(intruder, 22, lambda fields: fields.update(epoch=1))
    assert found(victim) == [(22, "epoch_invalid")]


def test_time_since_boot_that_falls(intruder: Intruder, victim: Path) -> None:
    signed_change(intruder, 22, lambda fields: fields.update(mono_us=1))
    assert found(victim) == [(22, "time_fell")]


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


def test_findings_are_bounded_and_counted(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    with open_log(directory) as log:
        log.append(*(admin(str(i)) for i in range(300))).result()
    intruder = Intruder(directory)
    intruder.write([replace(row, hash=flip(row.hash)) for row in intruder.rows()])
    report = verify_log(directory)
    assert len(report.problems) == 100
    assert report.problem_count == 301


# Ranges, and a log in use.


def ranged(directory: Path, first: int, last: int | None) -> Report:
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
    with pytest.raises((AuditUnavailable, StateRefused)):
        verify_log(victim)


def test_no_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(StateRefused) as caught:
        verify_log(tmp_path)
    assert caught.value.code == "data_missing"


def test_erasing_a_content_key_leaves_the_log_verifying(victim: Path, tmp_path: Path) -> None:
    untouched = copy(victim, tmp_path / "untouched")
    reader = LogReader(victim)
    content: Any = reader.entry(2).body["content"]
    assert reader.content(2, "prompt").startswith(b"What is")
    reader.close()
    destroy_key(victim, content["key"])
    assert found(victim) == []
    erased = LogReader(victim)
    with pytest.raises(AuditRefused, match="erased"):
        erased.content(2, "prompt")
    assert erased.content(4, "prompt").startswith(b"What is")
    assert LogReader(untouched).content(2, "prompt").startswith(b"What is")
    erased.close()


def test_values_of_other_types_are_findings_and_not_crashes(
    intruder: Intruder, victim: Path
) -> None:
    intruder.write(intruder.rows())  # without STRICT
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
