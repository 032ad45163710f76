"""Every way to change entries and heads, each found at the right entry.

The numbers in names are those of the design's tamper cases. Entries 2 to 13 were committed one by
one, 14 to 29 and 30 to 39 in one commit each: there a head proves only the whole commit, and the
chain has to name the entry.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit.merkle import leaf_hash
from appliance.audit.verification.verify import verify_log
from tests.audit.logs import (
    Intruder,
    Row,
    admin,
    ask,
    consistent,
    flip,
    found,
    new_log,
    open_log,
    raw_body,
    signed_change,
)

EVERYWHERE = [2, 3, 8, 13, 14, 15, 20, 28, 29, 30, 35]


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


@pytest.mark.parametrize(
    "spelling",
    [
        lambda body: body.replace(b'{"', b'{ "', 1),
        lambda body: body.replace(b'"v":1', b'"v":1,"v":1'),
        lambda body: body.replace(b'"v":1', b'"v":1.0'),
        lambda body: body.replace(b'"actor"', b'"\\u0061ctor"'),
        lambda body: body.replace(b'"v":1', b'"v":2'),
        lambda body: body.replace(b'"kind":"admin"', b'"kind":"Nothing"'),
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


def test_14_a_second_genesis(intruder: Intruder, victim: Path) -> None:
    first = intruder.rows()[0].fields()

    def how(fields: dict[str, Any]) -> None:
        fields.update(
            {k: first[k] for k in ("kind", "origin", "profile", "public_key", "instance")}
        )

    signed_change(intruder, 22, how)
    assert found(victim) == [(22, "genesis_mismatch")]


def test_a_request_without_a_name_is_one(victim: Path) -> None:
    with open_log(victim) as log:
        ask(log, "")
    assert found(victim) == []


def test_time_since_boot_that_falls(intruder: Intruder, victim: Path) -> None:
    signed_change(intruder, 22, lambda fields: fields.update(mono_us=1))
    assert found(victim) == [(22, "time_fell")]


def test_findings_are_bounded_and_counted(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    with open_log(directory) as log:
        log.append(*(admin(str(i)) for i in range(300))).result()
    intruder = Intruder(directory)
    intruder.write([replace(row, hash=flip(row.hash)) for row in intruder.rows()])
    report = verify_log(directory)
    assert len(report.problems) == 100
    assert report.problem_count == 301
