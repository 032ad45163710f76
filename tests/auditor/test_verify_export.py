"""The second verifier: shares no code, agrees with the first, and knows Ed25519 by itself."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from appliance.audit.entry import KINDS
from appliance.audit.export import export
from appliance.audit.log import Draft
from appliance.audit.reader import LogReader
from appliance.audit.verification.verify import verify_log
from appliance.types import Json
from auditor.verify_export import KINDS as FIELDS
from auditor.verify_export import Q, Verifier, signed
from tests.audit.epochs import epochs_log
from tests.audit.logs import (
    PROMPT,
    Intruder,
    admin,
    ask,
    consistent,
    erasure,
    flip,
    intent,
    key_of,
    keys_sql,
    new_log,
    open_log,
    signed_change,
)
from tests.audit.tampering import export_as_it_is

pytestmark = pytest.mark.long

COUNTED: dict[str, Json] = {"source": "", "count": 1, "since_us": 1, "until_us": 2}
PROGRAM = Path(__file__).parents[2] / "auditor" / "verify_export.py"


def run(*arguments: Path) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-I", str(PROGRAM), *map(str, arguments)], capture_output=True, text=True
    )
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


def codes(directory: Path) -> list[tuple[int, str]]:
    verifier = Verifier(directory, (directory / "genesis.pub").read_text())
    verifier.run()
    return [(seq, code) for seq, code, _ in sorted(verifier.problems)]


def exported(log: Path, to: Path) -> Path:
    export(log, "tiles", to)
    return to


def test_it_imports_the_standard_library_and_nothing_else() -> None:
    tree = ast.parse(PROGRAM.read_text())
    names = {n.name for node in ast.walk(tree) if isinstance(node, ast.Import) for n in node.names}
    names |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert names <= set(sys.stdlib_module_names)
    assert len(PROGRAM.read_text().splitlines()) < 600  # half an hour


def test_both_verifiers_agree_on_good_logs(pristine: Path, tmp_path: Path) -> None:
    epochs, _ = epochs_log(tmp_path / "epochs", 5)
    many = new_log(tmp_path / "many")
    with open_log(many) as log:
        log.append(*(admin(str(n)) for n in range(700))).result()
    for number, directory in enumerate((pristine, epochs, many)):
        report = verify_log(directory)
        out = exported(directory, tmp_path / f"out{number}")
        status, lines = run(out, directory / "genesis.pub")
        assert (status, report.ok) == (0, True), lines
        assert f"verified: entries {report.entries}, " in lines[0]
        assert lines[1] == f"Its root is {report.root}"


def test_both_take_entries_about_people_beside_older_ones(tmp_path: Path) -> None:
    log = new_log(tmp_path / "log")
    names: dict[str, Json] = {"end_user": "p-1", "end_user_from": "oidc:corp"}
    with open_log(log) as opened:
        ask(opened, "r1")
        known: dict[str, Json] = {**names, "end_user_groups": ["a"], "end_user_until_us": 7,
                                 "end_user_groups_from": "ldap:ad"}  # fmt: skip
        opened.append(intent("r2", PROMPT, **known)).result()
        claim = {**COUNTED, **names, "end_user_from": "claim"}
        opened.append(admin("x"), Draft("counted", claim)).result()
    assert verify_log(log).ok
    code, lines = run(exported(log, tmp_path / "out"), log / "genesis.pub")
    assert code == 0, lines
    for form, said in (
        ("csv", ",p-1,oidc:corp"), ("rfc5424", 'end_user="p-1" end_user_from="oidc:corp"'),
        ("cef", "cs4=p-1 cs5=oidc:corp cs2Label=request"), ("ocsf", '"app_uid":"k1"'),
    ):  # fmt: skip
        export(log, form, tmp_path / form)
        text = (tmp_path / form).read_text()
        assert said in text and text.count("p-1") >= 2, form
    users = [json.loads(line)["actor"] for line in (tmp_path / "ocsf").read_text().splitlines()]
    person = {"uid": "p-1", "domain": "oidc:corp", "groups": [{"name": "a"}]}
    assert [one["user"] for one in users if one["user"]["uid"] == "p-1"] == [person]  # no claim


def test_both_take_hops_in_entries_of_requests_beside_older_ones(tmp_path: Path) -> None:
    log = new_log(tmp_path / "log")
    host: dict[str, Json] = {
        "host": "https://gpu-1", "digest": _HEX, "identity": "claimed", "state": "ready"
    }  # fmt: skip
    said: dict[str, Json] = {"answer": "a", "model": "m", "fingerprint": "", "finish": "stop"}
    with open_log(log) as opened:

        def request(name: str, sent: dict[str, Json], ended: dict[str, Json], *own: Draft) -> None:
            (asked,) = opened.append(intent(name, PROMPT, **sent)).result()
            if own:
                opened.append(*own).result()
            fields = {"intent": asked.seq, "request_id": name, "status": "ok", **ended}
            opened.append(Draft("outcome", fields)).result()

        hop: dict[str, Json] = {"request_id": "r1", "upstream": "big", "hop": 1, **host}
        both = ({"event": "sent"}, {**said, "event": "answered"})
        request("r1", {}, {}, *(Draft("hop", {**hop, **each}) for each in both))
        request("r2", {"sent": host}, {"answered": said})
        request("r3", {"sent": host}, {"unsent": True})
    assert verify_log(log).ok
    code, lines = run(exported(log, tmp_path / "out"), log / "genesis.pub")
    assert code == 0, lines
    for form in ("csv", "rfc5424", "cef", "ocsf"):
        export(log, form, tmp_path / form)
        text = (tmp_path / form).read_text()
        assert all(text.count(name) >= 2 for name in ("r1", "r2", "r3")), form


def test_the_fields_of_each_kind_are_those_of_the_first() -> None:
    def names(fields: str) -> set[str]:
        return {field.rstrip("+*0123456789") for field in fields.split()}

    assert {kind: names(fields) for kind, fields in FIELDS.items()} == {
        kind: set(fields) for kind, fields in KINDS.items()
    }


_HEX = "ab" * 32
SAID: list[dict[str, Any]] = [
    {"kind": "New"}, {"kind": "genesis", **dict.fromkeys(KINDS["genesis"], "x")}, {"kind": 3},
    {"v": 2}, {"v": True}, {"actor": None}, {"actor": 3}, {"time_us": None}, {"time_us": "1"},
    {"boot_id": 1}, {"mono_us": 1}, {"mono_us": True}, {"epoch": 1}, {"epoch": -1}, {"seq": 23},
    {"x": 2**53}, {"x": -(2**53)}, {"x": 0.5}, {"\u00e9": 1}, {"x": {"\u00e9": 1}},
    {"x": [[[[[[1]]]]]]}, {"x": {"a": {"b": {"c": {"d": {"e": {}}}}}}}, {"model": 3}, {"key_id": 1},
    {"prev": "AB" * 32}, {"content": None}, {"content": 7}, {"content": {"mode": 1}},
    {"content": {"mode": "off", "x": 1}},
    {"content": {"mode": "encrypted", "key": "k", "parts": {"a": {"commitment": _HEX}}}},
    {"content": {"mode": "commit-only", "key": "k", "parts": {"a": {"commitment": "AB" * 32}}}},
    {"content": {"mode": "commit-only", "key": 1, "parts": {}}},
    {"content": {"mode": "commit-only", "key": "k", "parts": []}},
    {"kind": "witness", "key": "k", "note": "n"}, {"kind": "outcome", "intent": 3},
    {"kind": "erase", "reason": "r", "request_id": "r", "entries": [1, "2"]},
    {"kind": "key_handover", "next_key": _HEX, "signature": _HEX},
    {"kind": "key_handover", "next_key": _HEX, "signature": _HEX * 2},
    {"kind": "prune", "reason": "r", "before": 1, "root": _HEX, "approvals": [True]},
]  # fmt: skip
FINE: list[dict[str, Any]] = [
    {"x": 2**53 - 1}, {"x": [[[[[1]]]]]}, {"x": {"a": {"b": {"c": {"d": {}}}}}},
    {"\u007f": "\u00e9"},
    {"content": {"mode": "off"}}, {"content": {"mode": "commit-only", "key": "k", "parts": {}}},
    {"kind": "stop"}, {"kind": "new"}, {"time_us": 0}, {"model": "m"}, {"x": None}, {"x": False},
]  # fmt: skip


@pytest.mark.parametrize(("said", "ok"), [*((x, False) for x in SAID), *((x, True) for x in FINE)])
def test_both_agree_on_what_the_holder_of_the_key_may_write(
    intruder: Intruder, victim: Path, tmp_path: Path, said: dict[str, Any], ok: bool
) -> None:
    """Hashes, roots and signatures all fit: only the entry's content is left to check."""

    def how(fields: dict[str, Any]) -> None:
        fields.update(said)
        for name in [name for name, value in said.items() if value is None and name != "x"]:
            if name != "content":
                del fields[name]

    if "seq" in said or "prev" in said:  # what `rechain` fills in
        rows = intruder.rows()
        rows[22] = consistent(rows[22], **said)
        intruder.write(rows)
        intruder.resign()
    else:
        signed_change(intruder, 22, how)
    told = codes(export_as_it_is(victim, tmp_path / "out"))
    report = verify_log(victim)
    assert (report.ok, told == []) == (ok, ok), (report.problems, told)
    assert ok or report.problems[0].seq == told[0][0] == 22


def test_an_inner_node_that_is_another_one(three: Path, tmp_path: Path) -> None:
    out = exported(three, tmp_path / "out")
    assert codes(out) == []
    (tile,) = (out / "tile" / "1").rglob("*.p/*")
    data = tile.read_bytes()
    tile.write_bytes(flip(data, 40))
    assert codes(out) == [(511, "node_mismatch")]
    tile.unlink()
    assert {code for _, code in codes(out)} == {"node_mismatch"}


def test_what_is_no_part_of_an_export(three: Path, tmp_path: Path) -> None:
    out = exported(three, tmp_path / "out")
    size = verify_log(three).entries
    odd = ("more", "tile/0/009", "tile/2/000.p/9", "tile/entries/008.p/200", "tile/x/000")
    for name in odd:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(bytes(32))
    assert codes(out) == [(size, "entry_unexpected")] * len(odd)


TEXTS: dict[str, tuple[str, str, list[tuple[int, str]]]] = {
    "nothing": ("log", "SELECT 1", []),
    "nonce moved": ("log", "UPDATE content SET ct = CAST(nonce || ct AS BLOB), nonce = x'' "
                    "WHERE seq = 4", [(4, "content_mismatch")]),
    "text changed": ("log", "UPDATE content SET ct = zeroblob(40) WHERE seq = 4",
                     [(4, "content_mismatch")]),
    "text gone": ("log", "DELETE FROM content WHERE seq = 4", [(4, "content_missing")]),
    "text of no entry": ("log", "INSERT INTO content VALUES (1, 'x', x'', x'')",
                         [(1, "content_unexpected")]),
    "key gone": ("keys", "DELETE FROM dek WHERE id = ?", [(4, "key_missing")]),
    "key cut short": ("keys", "UPDATE dek SET wrapped = x'00' WHERE id = ?",
                      [(4, "key_mismatch")]),
}  # fmt: skip


@pytest.mark.parametrize("way", TEXTS)
def test_both_agree_on_texts_that_were_destroyed(victim: Path, tmp_path: Path, way: str) -> None:
    """With the log's own directory beside the export, where one entry was erased."""
    reader = LogReader(victim)
    with open_log(victim) as log:
        log.append(erasure(reader, "single-0", "uid:0", "asked for")).result()
    reader.close()
    out = exported(victim, tmp_path / "out")
    name, statement, told = TEXTS[way]
    if name == "log":
        Intruder(victim).sql(statement)
    else:
        assert keys_sql(victim, statement, (key_of(victim, 4),)) == 1
    status, lines = run(out, victim / "genesis.pub", victim)
    pattern = r"Entry (\d+) does not hold \((\w+)\)"
    said = [(int(n), code) for line in lines for n, code in re.findall(pattern, line)]
    assert (said, status) == (told, int(bool(told)))
    assert [(p.seq, p.code) for p in verify_log(victim).problems] == told
    assert run(out, victim / "genesis.pub")[0] == 0  # which the export alone does not show


def test_a_journal_beside_the_log_is_not_obeyed(victim: Path, tmp_path: Path) -> None:
    out = exported(victim, tmp_path / "out")
    (victim / "log.db-journal").write_bytes(b"x")
    status, lines = run(out, victim / "genesis.pub", victim)
    assert (status, "log.db-journal" in lines[0]) == (1, True)


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    directory, _ = epochs_log(tmp_path / "log", 2)
    out = exported(directory, tmp_path / "out")
    assert codes(out) == []
    bundle = next((out / "tile" / "entries").rglob("*.p/*"))
    data = bundle.read_bytes()
    for place in range(0, len(data), 97):
        bundle.write_bytes(flip(data, place))
        assert codes(out)
    bundle.write_bytes(data)
    for name in ("checkpoint", "heads", "genesis.pub"):
        whole = (out / name).read_bytes()
        (out / name).write_bytes(flip(whole, 60))
        assert run(out, directory / "genesis.pub")[0] == 1
        (out / name).write_bytes(whole)
    assert codes(out) == []


def test_another_genesis_key_is_told(pristine: Path, tmp_path: Path) -> None:
    out = exported(pristine, tmp_path / "out")
    other = new_log(tmp_path / "other")
    status, lines = run(out, other / "genesis.pub")
    assert status == 1
    assert lines[0].startswith("Entry 0 does not hold (genesis_mismatch): ")


def test_no_export_no_verdict(tmp_path: Path) -> None:
    assert run(tmp_path)[0] == 1
    assert run()[0] == 2


# RFC 8032, section 7.1: tests 1 to 3.
KNOWN = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), KNOWN)
def test_known_answers_of_rfc_8032(public: str, message: str, signature: str) -> None:
    key, said, value = map(bytes.fromhex, (public, message, signature))
    assert signed(key, value, said)
    assert not signed(key, value, said + b"x")
    assert not signed(key, flip(value), said)
    # The same point with s + q: malleable, refused.
    s = int.from_bytes(value[32:], "little") + Q
    assert not signed(key, value[:32] + s.to_bytes(32, "little"), said)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=64), st.integers(0, 63))
def test_ed25519_agrees_with_openssl(seed: bytes, message: bytes, place: int) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public, value = key.public_key().public_bytes_raw(), key.sign(message)
    assert signed(public, value, message)
    assert not signed(public, flip(value, place), message)
