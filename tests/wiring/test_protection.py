"""The key files of a data directory under a host key: migrated, used, changed, taken back."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization import PrivateFormat as Form

from appliance.app import initialise, open_services
from appliance.audit.search import Query
from appliance.audit.verification.verify import verify_log
from appliance.auth import certificates
from appliance.clock import FixedClock
from appliance.config import load_config
from appliance.errors import ApplianceError
from appliance.host import host_key
from appliance.trust.bytes import dsse, ecdsa, evidence, strict_json
from appliance.trust.policy import lab, policy
from appliance.wiring import protection
from tests.smol import SMALL

WORDS = "correct horse battery"


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """From before host keys, with TLS."""
    made = tmp_path / "data"
    initialise(made, "lab", names=["localhost"])
    yield made
    host_key.lock(made)


def secrets_of(data: Path) -> dict[str, list[bytes]]:
    """Each key of the host as it could lie on a disk: raw, hex, PEM, DER of both kinds, scalar."""
    found = {}
    for path in protection.key_files(data, SMALL):
        plain = host_key.read(path)
        raw = [plain]
        if b"PRIVATE KEY" in plain:
            pem = plain[plain.index(b"-----BEGIN") :]
            body = b"".join(pem.strip().split(b"\n")[1:-1])
            key = load_pem_private_key(pem, None)
            if isinstance(key, Ed25519PrivateKey):
                scalar = key.private_bytes_raw()
            else:
                number = key.private_numbers().private_value  # type: ignore[union-attr]
                scalar = number.to_bytes((number.bit_length() + 7) // 8)
            raw = [body[:60], base64.b64decode(body), scalar]
            if isinstance(key, EllipticCurvePrivateKey):
                raw.append(key.private_bytes(Encoding.DER, Form.TraditionalOpenSSL, NoEncryption()))
        found[path.name] = [*raw, *(part.hex().encode() for part in raw)]
    return found


def found_on_disk(data: Path, secrets: dict[str, list[bytes]]) -> set[str]:
    files = [path for path in data.rglob("*") if path.is_file() and path.parts[-2] != "lab"]
    disk = b"\0".join(path.read_bytes() for path in files)
    return {name for name, forms in secrets.items() if any(form in disk for form in forms)}


def code_of(action: object) -> str:
    with pytest.raises(ApplianceError) as caught:
        action()  # type: ignore[operator]
    return caught.value.code


def test_no_key_of_the_host_lies_on_the_disk(data: Path) -> None:
    names = {"kek", "signing.pem", "evidence.pem", "server.key"}
    assert found_on_disk(data, secrets_of(data)) == names  # the control: before
    protection.protect(data, WORDS)
    secrets = secrets_of(data)
    assert secrets.keys() == names and found_on_disk(data, secrets) == set()
    with open_services(data, config=SMALL) as services:
        for _ in range(3):  # each key of the log is under it, too
            services.audit.new_epoch().result()
        assert found_on_disk(data, secrets_of(data)) == set()
        assert services.audit.size > 3
    assert verify_log(data / "audit").ok
    last = secrets_of(data)["signing.pem"]
    assert last != secrets["signing.pem"]


def test_a_locked_directory_opens_nothing_and_changes_nothing(data: Path) -> None:
    protection.protect(data, WORDS)
    host_key.lock(data)
    before = {path: path.read_bytes() for path in (data / "audit").iterdir() if path.is_file()}

    def opened() -> None:
        with open_services(data, config=SMALL):
            pass

    assert code_of(opened) == "host_key_locked"
    assert code_of(lambda: evidence.ensure(data)) == "host_key_locked"
    pair = data / "tls" / "server.pem", data / "tls" / "server.key"
    assert code_of(lambda: certificates.server_context(*pair)) == "host_key_locked"
    after = {path: path.read_bytes() for path in before if path.exists()}
    assert after == before
    host_key.unlock(data, WORDS)
    opened()
    certificates.server_context(*pair)


def test_steps_are_recorded_and_undone(data: Path) -> None:
    plain = secrets_of(data)
    assert code_of(lambda: protection.change(data, WORDS)) == "host_key_missing"
    assert code_of(lambda: protection.protect(data, "short")) == "passphrase_refused"
    protection.protect(data, WORDS)
    protection.protect(data, WORDS)
    protection.change(data, "another good passphrase")
    protection.unprotect(data)
    assert not host_key.protected(data)
    assert secrets_of(data)["kek"] == plain["kek"]
    with open_services(data, config=SMALL) as services:
        page = services.reader.search(Query(kind="admin"))
    admin = [entry.body["action"] for entry in page.entries]
    assert admin == ["protect_on"] * 3 + ["protect_change", "protect_off"]


def test_keys_are_renewed_with_an_overlap(data: Path) -> None:
    protection.protect(data, WORDS)
    before, old = secrets_of(data)["kek"], host_key.held(data)
    protection.renew_host(data, WORDS)
    assert secrets_of(data)["kek"] == before and host_key.held(data) != old
    present = evidence.ensure(data).public_key()
    following = protection.renew_evidence(data)
    assert protection.renew_evidence(data) == following  # the same again
    assert found_on_disk(data, secrets_of(data)) == set()
    with open_services(data, config=SMALL) as services:
        room = services.jobs._kinds["gate"].parts  # type: ignore[attr-defined]
        assert room.evidence().public_key() == present  # no policy lists the next one
        listed(data, present, following)
        assert room.evidence().public_key() == following
        assert not evidence.next_path(data).exists()
        page = services.reader.search(Query(kind="admin"))
    assert [e.body["action"] for e in page.entries][-2:] == ["protect_evidence"] * 2
    assert secrets_of(data).keys() == {"kek", "signing.pem", "evidence.pem", "server.key"}


@pytest.mark.parametrize("step", [protection.unprotect, protection.renew_host])
def test_a_step_that_was_cut_short_leaves_no_part(
    data: Path, monkeypatch: pytest.MonkeyPatch, step: Callable[..., object]
) -> None:
    """`protect off` had written a key in plain, but not in its place."""
    protection.protect(data, WORDS)
    secrets, true = secrets_of(data), host_key.rename
    words = () if step is protection.unprotect else (WORDS,)

    def crash(part: Path, path: Path) -> None:
        if path.name == "signing.pem":
            raise KeyboardInterrupt
        true(part, path)

    with monkeypatch.context() as cut:
        cut.setattr(host_key, "rename", crash)
        with pytest.raises(KeyboardInterrupt):
            step(data, *words)
    if words:
        protection.renew_host(data, WORDS)  # the same again
    else:
        assert found_on_disk(data, secrets) >= {"signing.pem"}  # the control
        protection.protect(data, WORDS)
    assert found_on_disk(data, secrets) == set() and not list((data / "audit").glob("*.part"))
    assert secrets_of(data)["kek"] == secrets["kek"]


def test_a_change_finishes_a_renewal_that_was_cut_short(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else officers could not open what a token had that was lost in the middle."""
    protection.protect(data, WORDS)
    secrets, true, left = secrets_of(data), host_key.rename, [2]

    def crash(part: Path, path: Path) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        true(part, path)

    with monkeypatch.context() as cut:
        cut.setattr(host_key, "rename", crash)
        with pytest.raises(KeyboardInterrupt):
            protection.renew_host(data, WORDS)
    assert len(list((data / "keys").glob("host*"))) == 2
    protection.change(data, "another good passphrase")
    assert [path.name for path in (data / "keys").glob("host*")] == ["host.json"]
    host_key.lock(data)
    host_key.unlock(data, "another good passphrase")
    assert len(host_key.held(data)) == host_key.BYTES
    assert secrets_of(data)["kek"] == secrets["kek"] and found_on_disk(data, secrets) == set()


def listed(data: Path, *evaluators: ecdsa.PublicKey) -> None:
    """A lab's policy with these evaluators."""
    keys = data / "keys" / "lab"
    names = (lab.PUBLISHER, *lab.APPROVERS)
    public = {n: ecdsa.load_public((keys / f"{n}.pub").read_bytes()) for n in names}
    said = json.loads(
        json.dumps(lab._policy({**public, evidence.NAME: evaluators[0]}, FixedClock()))
    )
    for number, key in enumerate(evaluators):
        pem = ecdsa.public_pem(key).decode()
        said["keys"][ecdsa.hint(key)] = {"pem": pem, "person": f"host {number}"}
    said["roles"][policy.EVALUATOR]["keys"] = [ecdsa.hint(key) for key in evaluators]
    root = ecdsa.load_private((keys / f"{lab.ROOT}.pem").read_bytes())
    envelope = dsse.sign(strict_json.dump(said), policy.PAYLOAD_TYPE, [root])
    (data / "trust" / "policy.json").write_bytes(envelope)


def test_a_file_of_certificate_and_key_is_encrypted_and_serves(data: Path) -> None:
    tls = data / "tls"
    both = (tls / "server.key").read_bytes() + (tls / "server.pem").read_bytes()
    (tls / "both.pem").write_bytes(both)
    (data / "large").write_bytes(bytes(1 << 17))
    text = '[tls]\ncertificate = "tls/both.pem"\nkey = "tls/both.pem"\n[metrics]\ntoken = "TOKEN"\n'
    for slip in ("appliance.toml", "large"):
        (data / "appliance.toml").write_text(text.replace("TOKEN", slip))
        done = protection.protect(data, WORDS)
        assert tls / "both.pem" in done and data / slip not in done
        assert protection.left_in_plain(data, load_config(data)) == [data / slip]
    assert b"PRIVATE KEY" not in (tls / "both.pem").read_bytes()
    certificates.server_context(tls / "both.pem", tls / "both.pem")
    certificates.pinned(data, "tls/ca.pem", "tls/both.pem", "tls/both.pem")
    shown = certificates.fingerprint_of(tls / "server.pem")
    assert certificates.fingerprint_of(tls / "both.pem") == shown


def test_a_server_that_runs_is_in_the_way(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protection, "_PATIENCE_S", 0.0)
    with open_services(data, config=SMALL):
        assert code_of(lambda: protection.protect(data, WORDS)) == "data_locked"
    assert not host_key.protected(data)
