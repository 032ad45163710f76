"""The stand-alone witness: exchange over files, and everything it must not cosign (case 19)."""

import base64
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.audit.cosignature import verify_cosigned, witness_key
from appliance.audit.log import AuditLog
from appliance.audit.proof import check_proof
from appliance.audit.reader import LogReader
from appliance.errors import AuditRefused
from auditor.witness import Refused, cosign, load, main
from tests.audit.epochs import epochs_log
from tests.audit.logs import ORIGIN, Intruder, admin, ask, copy, cut, new_log, open_log
from tests.tokens.softhsm import LOG_IN, PIN, needs_gcc, soft_token

PROGRAM = Path(__file__).parents[2] / "auditor" / "witness.py"


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    assert main(["key", str(tmp_path / "desk"), "w.example/witness"]) == 0
    return tmp_path / "desk"


def request(directory: Path, desk: Path, to: Path) -> Path:
    reader = LogReader(directory)
    to.write_bytes(reader.witness_request(witness_key((desk / "witness.pub").read_bytes())))
    reader.close()
    return to


def record(log: AuditLog, directory: Path, desk: Path, note: bytes) -> None:
    reader = LogReader(directory)
    key = witness_key((desk / "witness.pub").read_bytes())
    log.append(reader.witnessed(note, key, "uid:0")).result()
    reader.close()


def test_a_log_is_followed_through_its_keys(tmp_path: Path, desk: Path) -> None:
    directory, _ = epochs_log(tmp_path / "log")
    genesis = (directory / "genesis.pub").read_bytes()
    key = witness_key((desk / "witness.pub").read_bytes())
    assert main(["trust", str(desk), str(directory / "genesis.pub")]) == 0
    with open_log(directory) as log:
        for number in range(4):
            asked = request(directory, desk, tmp_path / "request")
            answer = tmp_path / "answer"
            command = [sys.executable, "-I", *map(str, (PROGRAM, "cosign", desk, asked, answer))]
            subprocess.run(command, check=True, capture_output=True)
            head, _seconds = verify_cosigned(answer.read_bytes(), ORIGIN, key)
            assert head.size == log.size
            record(log, directory, desk, answer.read_bytes())
            ask(log, f"more-{number}")
            if number % 2:
                log.new_epoch().result()
        reader = LogReader(directory)
        proof = reader.proof(5, key)
        assert check_proof(proof, genesis, key.encode().encode()).witnessed
        reader.close()


def statuses(desk: Path, *requests: bytes) -> list[int]:
    found = []
    for data in requests:
        logs = load(desk / "seen.json")
        before = dict(logs)
        with pytest.raises(Refused) as caught:
            cosign(logs, data, "w.example/witness", Ed25519PrivateKey.generate(), 5)
        assert logs == before
        found.append(caught.value.args[0])
    return found


def test_19_two_views_of_one_log_get_one_cosignature(
    victim: Path, tmp_path: Path, desk: Path
) -> None:
    twin = copy(victim, tmp_path / "twin")
    assert main(["trust", str(desk), str(victim / "genesis.pub")]) == 0
    with open_log(victim) as log:
        log.append(admin("a")).result()
    with open_log(twin) as log:
        log.append(admin("b"), admin("c")).result()
    first = request(victim, desk, tmp_path / "first")
    assert main(["cosign", str(desk), str(first), str(tmp_path / "answer")]) == 0
    other = request(twin, desk, tmp_path / "other").read_bytes()
    forged = other.replace(b"old 0\n", b"old 41\n" + base64.b64encode(bytes(32)) + b"\n")
    assert statuses(desk, other, forged) == [409, 422]
    # The twin's own log does not take the answer either.
    reader = LogReader(twin)
    with pytest.raises(AuditRefused) as caught:
        reader.witnessed(
            (tmp_path / "answer").read_bytes(),
            witness_key((desk / "witness.pub").read_bytes()),
            "uid:0",
        )
    assert caught.value.code == "audit_corrupt"
    reader.close()


def test_17_18_a_log_cut_or_put_back_is_refused(victim: Path, tmp_path: Path, desk: Path) -> None:
    old = copy(victim, tmp_path / "image")
    assert main(["trust", str(desk), str(victim / "genesis.pub")]) == 0
    with open_log(victim) as log:
        log.append(admin("a")).result()
        asked = request(victim, desk, tmp_path / "request")
        answer = tmp_path / "answer"
        assert main(["cosign", str(desk), str(asked), str(answer)]) == 0
    assert statuses(desk, request(old, desk, tmp_path / "again").read_bytes()) == [409]
    reader = LogReader(old)
    key = witness_key((desk / "witness.pub").read_bytes())
    with pytest.raises(AuditRefused, match="41 entries"):
        reader.witnessed(answer.read_bytes(), key, "uid:0")
    reader.close()
    intruder = Intruder(victim)
    cut(intruder, 20)
    intruder.resign()
    assert statuses(desk, request(victim, desk, tmp_path / "cut").read_bytes()) == [409]


def test_other_requests_get_their_status(victim: Path, tmp_path: Path, desk: Path) -> None:
    data = request(victim, desk, tmp_path / "request").read_bytes()
    assert statuses(desk, data) == [404]
    assert main(["trust", str(desk), str(victim / "genesis.pub")]) == 0
    assert statuses(
        desk,
        b"",
        b"\xff",
        data.replace(b"old 0", b"old -1"),
        data.replace(b"old 0", b"old 00"),
        data.replace(b"\n40\n", b"\n39\n"),
        b"handover " + base64.b64encode(bytes(112)) + b"\n" + data,
    ) == [400, 400, 400, 400, 403, 403]
    foreign = new_log(tmp_path / "foreign")
    assert statuses(desk, request(foreign, desk, tmp_path / "f").read_bytes()) == [403]


def test_usage(desk: Path) -> None:
    assert main([]) == 2
    assert main(["cosign", "x"]) == 2
    assert main(["key", str(desk), "again"]) == 1


def test_a_key_under_a_passphrase(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (words := tmp_path / "words").write_text("short\n")
    at = str(tmp_path / "own")
    assert main(["key", at, "w.example/own", str(words)]) == 1
    assert not (tmp_path / "own" / "witness.pem").exists()
    words.write_text("correct horse battery\n")
    assert main(["key", at, "w.example/own", str(words)]) == 0
    assert b"ENCRYPTED" in (tmp_path / "own" / "witness.pem").read_bytes()
    directory = new_log(tmp_path / "log")
    assert main(["trust", at, str(directory / "genesis.pub")]) == 0
    asked = request(directory, tmp_path / "own", tmp_path / "request")
    (wrong := tmp_path / "wrong").write_text("another good passphrase\n")
    answer = tmp_path / "answer"
    assert main(["cosign", at, str(asked), str(answer), str(wrong)]) == 1
    assert not answer.exists() and "does not open" in capsys.readouterr().out
    assert main(["cosign", at, str(asked), str(answer), str(words)]) == 0
    verify_cosigned(
        answer.read_bytes(), ORIGIN, witness_key((tmp_path / "own/witness.pub").read_bytes())
    )


def test_a_key_is_replaced_while_both_cosign(victim: Path, tmp_path: Path, desk: Path) -> None:
    fresh, answer = tmp_path / "fresh", tmp_path / "answer"
    assert main(["key", str(fresh), "w.example/witness"]) == 0
    genesis = (victim / "genesis.pub").read_bytes()
    with open_log(victim) as log:
        for one in (desk, fresh, fresh):
            main(["trust", str(one), str(victim / "genesis.pub")])
            asked = request(victim, one, tmp_path / "request")
            assert main(["cosign", str(one), str(asked), str(answer)]) == 0
            record(log, victim, one, answer.read_bytes())
        reader = LogReader(victim)
        for one in (desk, fresh):
            key = witness_key((one / "witness.pub").read_bytes())
            assert check_proof(reader.proof(5, key), genesis, key.encode().encode()).witnessed
        reader.close()


@needs_gcc
def test_a_key_on_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No file has the key; a wrong PIN is tried once, and nothing is cosigned or remembered."""

    def run(*words: str | Path) -> tuple[int, str]:
        command = [sys.executable, "-I", str(PROGRAM), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode, done.stdout + done.stderr

    token = soft_token(tmp_path / "hsm", monkeypatch)
    (pin := tmp_path / "pin").write_text(f"{PIN}\n")
    (wrong := tmp_path / "wrong").write_text("000000\n")
    desk, other, uri = tmp_path / "desk", tmp_path / "other", token.uri("witness")
    make = ("key", desk, "w.example/hsm")
    assert run(*make, wrong, uri) == (1, "Refused (400): the PIN is wrong.\n")
    for bad in ("pkcs11:object=a", "pkcs11:token=a;object=b;id=c", token.uri("a", module=pin)):
        assert main([*map(str, make), str(pin), bad]) == 1
    assert not [*desk.iterdir()]
    assert run(*make, pin, uri)[0] == 0
    assert main([*map(str, make), str(pin), uri]) == 1
    assert "there is a key already" in capsys.readouterr().out
    assert {path.name for path in desk.iterdir()} == {"witness.pub", "witness.uri"}
    assert run("key", other, "w.example/hsm", pin, uri)[0] == 0  # the same key again
    assert (other / "witness.pub").read_bytes() == (desk / "witness.pub").read_bytes()
    directory = new_log(tmp_path / "log")
    assert main(["trust", str(desk), str(directory / "genesis.pub")]) == 0
    asked, answer = request(directory, desk, tmp_path / "request"), tmp_path / "answer"
    seen = (desk / "seen.json").read_bytes()
    (desk / "witness.uri").write_text(token.uri("witness", module=token.faulty(LOG_IN, "")))
    assert run("cosign", desk, asked, answer, wrong)[0] == 1
    assert token.seen.read_text() == "1" and not answer.exists()
    assert (desk / "seen.json").read_bytes() == seen
    assert run("cosign", desk, asked, answer, pin)[0] == 0
    verify_cosigned(answer.read_bytes(), ORIGIN, witness_key((desk / "witness.pub").read_bytes()))
