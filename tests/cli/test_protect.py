"""`appliance protect`: on, change, off, and a server that is started with the passphrase."""

from pathlib import Path

from appliance.host import host_key
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run

WORDS, OTHER = "correct horse battery", "another good passphrase"


def test_on_change_off(lab: LabData, run: Run, tmp_path: Path) -> None:
    words = tmp_path / "words"
    secret = ("--passphrase-file", words)
    words.write_text("short")
    assert run("protect", "on", *secret, "--json").code == (1, "passphrase_refused")
    words.write_text(WORDS)
    told = run("protect", "on", *secret, "--json").document
    assert told == {
        "protected": True, "files": ["audit/kek", "audit/signing.pem", "keys/evidence.pem"],
    }  # fmt: skip
    host_key.lock(lab.data)
    words.write_text(f"{WORDS}!\n{OTHER}\n")
    assert run("protect", "change", *secret, "--json").code == (1, "passphrase_refused")
    words.write_text(f"{WORDS}\n{OTHER}\n")
    assert run("protect", "change", *secret).status == 0
    host_key.lock(lab.data)
    assert run("protect", "off", *secret, "--json").code == (1, "passphrase_refused")
    words.write_text(OTHER)
    assert run("protect", "off", *secret).status == 0
    assert run("protect", "off", *secret, "--json").code == (1, "host_key_missing")
    assert run("key", "list").status == 0


def test_a_detached_server_takes_the_passphrase(lab: LabData, run: Run, tmp_path: Path) -> None:
    (words := tmp_path / "words").write_text(WORDS)
    assert run("protect", "on", "--passphrase-file", words).status == 0
    host_key.lock(lab.data)
    started = ("serve", "--detach", "--port", "0", "--json")
    assert run(*started).code == (1, "server_not_started")
    assert run(*started, "--passphrase-file", words).status == 0
    try:
        assert run("audit", "verify").status == 0  # the server's, which is open
    finally:
        assert run("serve", "--stop").status == 0
