"""Creating a log, and opening it: conditions, and work left by a crash."""

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from appliance.audit.checkpoint import VerifierKey
from appliance.audit.files import private_pem
from appliance.audit.log import AuditLog, Draft
from appliance.audit.reader import LogReader
from appliance.audit.verification.verify import verify_log
from appliance.clock import FixedClock
from appliance.errors import ApplianceError, AuditRefused, AuditUnavailable, StateRefused
from tests.audit.logs import ORIGIN, Intruder, admin, consistent, intent, new_log, open_log


def refused(directory: Path) -> ApplianceError:
    with pytest.raises(ApplianceError) as caught:
        open_log(directory)
    return caught.value


def test_the_first_entry_names_the_log_its_key_and_its_profile(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    body = LogReader(directory).entry(0).body
    key = VerifierKey.parse((directory / "genesis.pub").read_bytes())
    assert body["origin"] == key.name == ORIGIN
    assert body["public_key"] == key.public.hex()
    assert (body["profile"], body["epoch"], body["prev"]) == ("lab", 0, "00" * 32)
    assert verify_log(directory).ok


def test_two_logs_are_two_instances_with_two_keys(tmp_path: Path) -> None:
    first, second = (LogReader(new_log(tmp_path / name)).entry(0).body for name in "ab")
    assert first["instance"] != second["instance"]
    assert first["public_key"] != second["public_key"]


def test_private_files_are_the_owners_alone(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in directory.iterdir()}
    private = {"signing.pem", "kek", "log.db", "keys.db"}
    assert {name: modes[name] for name in private} == dict.fromkeys(private, 0o600)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_log_is_not_made_where_something_is(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    before = (directory / "genesis.pub").read_bytes()
    with pytest.raises(StateRefused) as caught:
        new_log(directory)
    assert caught.value.code == "data_exists"
    assert (directory / "genesis.pub").read_bytes() == before


def test_a_log_needs_a_name(tmp_path: Path) -> None:
    with pytest.raises(AuditRefused) as caught:
        new_log(tmp_path / "log", origin="two words")
    assert caught.value.code == "audit_origin_invalid"
    assert not (tmp_path / "log").exists()


def test_a_log_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(AuditUnavailable):
        AuditLog.create(tmp_path / "file", origin=ORIGIN, profile="lab", clock=FixedClock())


@pytest.mark.parametrize("name", ["log.db", "keys.db", "genesis.pub"])
def test_an_incomplete_directory_is_no_log(victim: Path, name: str) -> None:
    (victim / name).unlink()
    assert refused(victim).code == "data_missing"
    assert not (victim / name).exists()


def test_no_directory_is_no_log(tmp_path: Path) -> None:
    assert refused(tmp_path / "none").code == "data_missing"


# What must hold.


def other_key(directory: Path) -> None:
    (directory / "signing.pem").write_bytes(private_pem(Ed25519PrivateKey.generate()))


def other_genesis(directory: Path) -> None:
    key = Ed25519PrivateKey.generate()
    public = VerifierKey(ORIGIN, key.public_key().public_bytes_raw())
    (directory / "genesis.pub").write_text(public.encode(), encoding="ascii")
    (directory / "signing.pem").write_bytes(private_pem(key))


def no_head(directory: Path) -> None:
    (directory / "HEAD").unlink()


def other_head(directory: Path) -> None:
    (directory / "HEAD").write_bytes(b"?")


def newer_head(directory: Path) -> None:
    head = (directory / "HEAD").read_bytes()
    with open_log(directory) as log:
        log.append(admin("x")).result()
    newest = (directory / "HEAD").read_bytes()
    intruder = Intruder(directory)
    intruder.sql("DELETE FROM leaf WHERE seq = 40", "DELETE FROM checkpoint WHERE size = 41")
    assert head != newest


def forked_head(directory: Path) -> None:
    path = directory / "HEAD"
    twin = path.with_name("twin")
    twin.write_bytes(path.read_bytes())
    intruder = Intruder(directory)
    rows = intruder.rows()
    intruder.write([*rows[:39], consistent(rows[39], action="other")])
    intruder.resign()
    seen = path.read_bytes()
    intruder.write(rows)
    intruder.resign()
    path.write_bytes(seen)
    twin.unlink()


def sql(*statements: str) -> Callable[[Path], None]:
    return lambda directory: Intruder(directory).sql(*statements)


def consistent_tail(directory: Path) -> None:
    Intruder(directory).change(35, lambda row: consistent(row, time_us=1))


def renumbered_tail(directory: Path) -> None:
    intruder = Intruder(directory)
    intruder.write([replace(r, seq=r.seq + (r.seq > 35)) for r in intruder.rows()])


@pytest.mark.parametrize(
    "change",
    [
        other_key,
        other_genesis,
        no_head,
        other_head,
        newer_head,
        forked_head,
        sql("DELETE FROM checkpoint"),
        sql("DELETE FROM checkpoint WHERE size = 40"),
        sql("UPDATE checkpoint SET note = x'00' WHERE size = 40"),
        sql("DELETE FROM leaf WHERE seq = 39"),
        sql("DELETE FROM leaf WHERE seq = 20"),
        sql("DELETE FROM leaf"),
        sql("UPDATE leaf SET body = x'7b7d' WHERE seq = 20"),
        sql("UPDATE leaf SET hash = zeroblob(32) WHERE seq = 20"),
        sql("UPDATE leaf SET prev = randomblob(32) WHERE seq = 20"),
        consistent_tail,
        renumbered_tail,
    ],
)
def test_a_log_that_does_not_verify_is_not_continued(
    victim: Path, change: Callable[[Path], None]
) -> None:
    change(victim)
    before = (victim / "log.db").read_bytes()
    assert refused(victim).code == "audit_corrupt"
    assert (victim / "log.db").read_bytes() == before


def test_a_database_without_its_tables_is_told(victim: Path) -> None:
    Intruder(victim).sql("DROP TABLE leaf")
    assert isinstance(refused(victim), AuditUnavailable)


def test_control_an_unchanged_log_is_continued(victim: Path) -> None:
    with open_log(victim) as log:
        assert log.size == 40
        assert log.append(admin("x")).result()[0].seq == 40
    assert verify_log(victim).ok


def test_a_head_that_is_behind_is_an_ancestor(victim: Path) -> None:
    old = (victim / "HEAD").read_bytes()
    with open_log(victim) as log:
        log.append(admin("x")).result()
    (victim / "HEAD").write_bytes(old)
    open_log(victim).close()


def test_a_stored_node_that_is_wrong_is_found_before_anything_rests_on_it(tmp_path: Path) -> None:
    directory = new_log(tmp_path / "log")
    with open_log(directory) as log:
        log.append(*(admin(str(n)) for n in range(300))).result()
    Intruder(directory).sql("UPDATE node SET hash = zeroblob(32)")
    assert refused(directory).code == "audit_corrupt"


@pytest.mark.parametrize("content", [b"", b"junk", None])
@pytest.mark.parametrize("name", ["signing.pem", "kek", "genesis.pub"])
def test_keys_that_cannot_be_read_are_told(victim: Path, name: str, content: bytes | None) -> None:
    (victim / name).unlink()
    if content is not None:
        (victim / name).write_bytes(content)
    assert refused(victim).code in ("audit_key_invalid", "data_missing")


def test_a_signing_key_of_another_kind_is_told(victim: Path) -> None:
    pem = generate_private_key(SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    (victim / "signing.pem").write_bytes(pem)
    assert refused(victim).code == "audit_key_invalid"


def test_a_refused_opening_gives_the_lock_back(victim: Path) -> None:
    head = (victim / "HEAD").read_bytes()
    no_head(victim)
    assert refused(victim).code == "audit_corrupt"
    (victim / "HEAD").write_bytes(head)
    open_log(victim).close()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    no_head(victim)
    refused(victim)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


# What a crash left open.


def test_opening_closes_open_intents_as_unknown_before_it_returns(victim: Path) -> None:
    with open_log(victim) as log:
        asked = [r.seq for r in log.append(intent("a"), intent("b", model="m2")).result()]
    with open_log(victim) as log:
        assert log.size == 44
    outcomes = [entry.body for entry in LogReader(victim).tail(2)]
    assert [(o["kind"], o["intent"], o["status"]) for o in outcomes] == [
        ("outcome", asked[0], "unknown"),
        ("outcome", asked[1], "unknown"),
    ]
    assert [(o["request_id"], o["key_id"], o["model"]) for o in outcomes] == [
        ("a", "k1", "m1"),
        ("b", "k1", "m2"),
    ]
    assert all("content" not in o for o in outcomes)
    report = verify_log(victim)
    assert report.ok
    assert report.open_intents == 0
    assert (victim / "HEAD").read_bytes() == LogReader(victim).checkpoint().encode()


def test_opening_again_closes_nothing_twice(victim: Path) -> None:
    with open_log(victim) as log:
        log.append(intent("a")).result()
    sizes = []
    for _ in range(3):
        with open_log(victim) as log:
            sizes.append(log.size)
    assert sizes == [42, 42, 42]


def test_more_open_intents_than_fit_one_commit(victim: Path) -> None:
    with open_log(victim) as log:
        log.append(*(intent(str(n)) for n in range(1_200))).result()
        log.append(Draft("stop", {})).result()
    with open_log(victim) as log:
        assert log.size == 40 + 1_200 + 1 + 1_200
        log.append(Draft("start", {})).result()
    assert verify_log(victim).ok


def test_an_intent_opened_before_a_start_that_was_already_closed_stays_closed(
    victim: Path,
) -> None:
    with open_log(victim) as log:
        log.append(intent("a")).result()
    with open_log(victim) as log:
        log.append(Draft("start", {}), intent("b")).result()
    with open_log(victim) as log:
        assert log.size == 40 + 1 + 1 + 2 + 1
    bodies = [json.loads(row.body) for row in Intruder(victim).rows()[40:]]
    assert [b.get("status") for b in bodies] == [None, "unknown", None, None, "unknown"]
