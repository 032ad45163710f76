"""`appliance key …`."""

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import pysqlite3.dbapi2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from appliance.app import open_services
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run


def test_the_secret_is_printed_once_and_works(lab: LabData, run: Run) -> None:
    made = run("key", "new", "app", "--models", "a, b", "--json").document
    assert (made["name"], made["role"], made["models"]) == ("app", "app", ["a", "b"])
    listed = run("key", "list", "--json")
    assert made["secret"] not in listed.out
    assert [key["id"] for key in listed.document["keys"]] == [made["id"]]
    with open_services(lab.data) as services:
        assert services.keys.authenticate(made["secret"]).name == "app"


@pytest.mark.parametrize("verb", ["new", "create"])  # the second is its name before 0.2.0
def test_stdout_is_the_secret_alone(run: Run, verb: str) -> None:
    done = run("key", verb, "app")
    assert done.out.startswith("sk-") and done.out.count("\n") == 1
    assert done.out.strip() not in done.err


def test_a_revoked_key_says_so(run: Run) -> None:
    made = run("key", "new", "app", "--json").document
    assert "[+] valid" in run("key", "list").out
    assert run("key", "revoke", made["id"], "--json").document["revoked"] is True
    assert "[!] revoked" in run("key", "list").out


def test_a_key_with_a_certificate_prints_no_secret(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "app.pem"
    path.write_bytes(self_signed())
    done = run("key", "new", "app", "--certificate", path)
    assert "sk-" not in done.out + done.err
    assert "its client certificate is its secret" in done.out


def test_an_expired_key_says_so(lab: LabData, run: Run) -> None:
    made = run("key", "new", "app", "--expires", "2099-01-01", "--json").document
    assert made["state"] == "valid"
    with contextlib.closing(pysqlite3.dbapi2.connect(lab.data / "appliance.db")) as database:
        database.execute("UPDATE api_keys SET expires_us = created_us + 1")
        database.commit()
    listed = run("key", "list")
    assert "[!] expired" in listed.out and "valid" not in listed.out
    assert run("key", "show", made["id"], "--json").document["state"] == "expired"


def test_limits_and_usage_are_shown(run: Run) -> None:
    options = ["--rpm", "60", "--tpm", "9000", "--concurrency", "2", "--weight", "3"]
    made = run("key", "new", "app", *options, "--priority", "batch", "--json").document
    assert made["limits"] == {
        "rpm": 60, "tpm": 9000, "concurrency": 2, "weight": 3, "priority": "batch",
    }  # fmt: skip
    shown = run("key", "show", made["id"]).out
    assert "limits a minute: requests 60, tokens 9000; 2 at once, weight 3, batch" in shown
    assert "used: 0 requests" in shown
    run("key", "limit", made["id"], "--rpm", "1")
    assert "requests 1, tokens any;" in run("key", "show", made["id"]).out


def test_a_rotation_prints_the_new_secret(lab: LabData, run: Run) -> None:
    made = run("key", "new", "app", "--json").document
    rotated = run("key", "rotate", made["id"], "--overlap", "3600")
    assert rotated.out.startswith("sk-") and "good until" in rotated.err
    with open_services(lab.data) as services:
        for secret in (made["secret"], rotated.out.strip()):
            assert services.keys.authenticate(secret).key_id == made["id"]


def test_a_client_certificate_stands_for_a_key(lab: LabData, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "app.pem"
    path.write_bytes(self_signed())
    made = run("key", "new", "app", "--certificate", path, "--json").document
    assert made["secret"] == ""
    assert run("key", "rotate", made["id"], "--json").code == (1, "invalid_value")
    assert made["certificate"] in run("key", "show", made["id"]).out
    with open_services(lab.data) as services:
        fingerprint = bytes.fromhex(made["certificate"])
        assert services.keys.authenticate_certificate(fingerprint).key_id == made["id"]
    path.write_text("not a certificate")
    assert run("key", "new", "b", "--certificate", path, "--json").code == (2, "key_unreadable")


def self_signed() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start.replace(2030))
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["create", ""], "invalid_value"),
        (["create", "x" * 65], "invalid_key_name"),
        (["create", "app", "--role", "root"], "invalid_value"),
        (["create", "app", "--expires", "soon"], "invalid_value"),
        (["create", "app", "--rpm", "0"], "invalid_value"),
        (["revoke", "0123456789ab"], "unknown_key_id"),
        (["rotate", "0123456789ab"], "unknown_key_id"),
        (["show", "0123456789ab"], "unknown_key_id"),
    ],
)
def test_refusals(run: Run, arguments: list[str], code: str) -> None:
    assert run("key", *arguments, "--json").code == (1, code)


def test_no_keys(run: Run) -> None:
    assert run("key", "list").out.startswith("No keys. Make one with")


def test_a_key_may_be_for_tasks_alone(lab: LabData, run: Run) -> None:
    made = run("key", "new", "clerk", "--tasks-only", "--json").document
    assert made["tasks_only"] is True
    assert run("key", "new", "free", "--json").document["tasks_only"] is False
    assert "all tasks" in run("key", "list").out
    assert "models all tasks" in run("key", "show", made["id"]).out
    with open_services(lab.data) as services:
        assert services.keys.authenticate(made["secret"]).tasks_only
