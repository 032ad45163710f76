"""Proof files: true ones prove, false ones do not (case 31)."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.audit.proof import MAX_PROOF, Proof, check_proof
from appliance.audit.reader import LogReader
from appliance.errors import AuditRefused
from tests.audit.logs import Intruder, new_log, raw_body


@pytest.fixture(scope="session")
def key(pristine: Path) -> bytes:
    return (pristine / "genesis.pub").read_bytes()


@pytest.fixture(scope="session")
def proof(pristine: Path) -> bytes:
    return LogReader(pristine).proof(20)


def refused(document: bytes, key: bytes) -> None:
    with pytest.raises(AuditRefused) as caught:
        check_proof(document, key)
    assert caught.value.code == "proof_invalid"


def test_what_a_proof_proves(proof: bytes, key: bytes, pristine: Path) -> None:
    result = check_proof(proof, key)
    entry = LogReader(pristine).entry(20)
    assert (result.seq, result.size, result.body) == (20, 40, entry.body)
    root = (pristine / "HEAD").read_bytes().split(b"\n")[2]
    assert base64.b64encode(bytes.fromhex(result.root)) == root


def test_a_proof_is_a_c2sp_tlog_proof(proof: bytes, pristine: Path) -> None:
    head, _, note = proof.decode().partition("\n\n")
    magic, extra, index, *path = head.split("\n")
    assert (magic, index) == ("c2sp.org/tlog-proof@v1", "index 20")
    assert [len(base64.b64decode(line)) for line in path] == [32] * 6
    assert note.encode() == (pristine / "HEAD").read_bytes()
    carried = json.loads(base64.b64decode(extra.removeprefix("extra ")))
    assert carried == {"body": LogReader(pristine).entry(20).raw.decode(), "handovers": []}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_changed_byte_is_believed(proof: bytes, key: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(proof) - 1))
    change = data.draw(st.integers(1, 255))
    refused(proof[:place] + bytes([proof[place] ^ change]) + proof[place + 1 :], key)


@given(st.binary(max_size=400) | st.text(max_size=400).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_break_the_check(key: bytes, document: bytes) -> None:
    refused(document, key)
    refused(b"c2sp.org/tlog-proof@v1\n" + document, key)


def build_proof(body: bytes, index: int, path: list[bytes], note: bytes) -> bytes:
    return Proof(body, index, tuple(path), note).encode()


def parts(proof: bytes) -> tuple[bytes, int, list[bytes], bytes]:
    head, _, note = proof.partition(b"\n\n")
    lines = head.decode().split("\n")
    body = json.loads(base64.b64decode(lines[1][6:]))["body"].encode()
    return body, int(lines[2][6:]), [base64.b64decode(line) for line in lines[3:]], note


def test_forged_parts_are_refused(proof: bytes, key: bytes, pristine: Path) -> None:
    body, index, path, note = parts(proof)
    assert build_proof(body, index, path, note) == proof
    other = LogReader(pristine).entry(21).raw
    older = LogReader(pristine)
    forged = [
        build_proof(other, index, path, note),
        build_proof(body, 21, path, note),
        build_proof(body, index + 64, path, note),
        build_proof(body, index, path[:-1], note),
        build_proof(body, index, [*path, bytes(32)], note),
        build_proof(body, index, [bytes(32), *path[1:]], note),
        build_proof(body, index, [path[0][:31], *path[1:]], note),
        build_proof(body, index, path, b""),
        build_proof(body, index, path, note.replace(b"\n40\n", b"\n39\n")),
        build_proof(raw_body({**json.loads(body), "time_us": 1}), index, path, note),
        proof + b"\n",
        b"\n" + proof,
        proof.replace(b"\n", b"\r\n"),
        proof.replace(b"index 20", b"index 020"),
        proof.replace(b"index 20", b"index -20"),
        proof.replace(b"tlog-proof@v1", b"tlog-proof@v2"),
        proof.replace(b"extra ", b"extra  "),
        proof * 2,
        proof.ljust(MAX_PROOF + 1, b"\n"),
    ]
    for document in forged:
        assert document != proof
        refused(document, key)
    older.close()


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"body": "x"},
        {"body": 1, "handovers": []},
        {"body": "{}", "handovers": []},
        {"body": "{}", "handovers": [], "more": 1},
        {"body": "{}", "handovers": [{}]},
        {"body": "{}", "handovers": None},
    ],
)
def test_other_extra_data_is_refused(proof: bytes, key: bytes, extra: dict[str, object]) -> None:
    lines = proof.split(b"\n")
    lines[1] = b"extra " + base64.b64encode(raw_body(extra))
    refused(b"\n".join(lines), key)


def test_an_entry_that_gives_itself_another_place_is_refused(victim: Path, key: bytes) -> None:
    intruder = Intruder(victim)
    bodies = [row.body for row in intruder.rows()]
    bodies[20] = raw_body({**json.loads(bodies[20]), "epoch": 1})
    intruder.write(intruder.rechain(bodies))
    intruder.resign()
    with pytest.raises(AuditRefused) as caught:
        LogReader(victim).proof(20)
    assert caught.value.code == "audit_corrupt"
    assert check_proof(LogReader(victim).proof(21), key).seq == 21


def test_a_proof_of_another_log_is_refused(proof: bytes, tmp_path: Path, key: bytes) -> None:
    other = new_log(tmp_path / "other")  # the same name, another key
    refused(proof, (other / "genesis.pub").read_bytes())
    refused(LogReader(other).proof(0), key)


def test_a_key_that_is_none_is_told(proof: bytes) -> None:
    with pytest.raises(AuditRefused) as caught:
        check_proof(proof, b"no key")
    assert caught.value.code == "audit_key_invalid"
