"""`appliance tls …`."""

import ssl
from pathlib import Path

import pytest
from cryptography import x509

from appliance.app import initialise
from appliance.auth import certificates
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run, run_command
from tests.site import make_site
from tests.trust.simulator import Simulator


def test_a_certificate_is_made_for_the_names(lab: LabData, run: Run) -> None:
    made = run("tls", "issue", "appliance.lan", "10.0.0.5", "--json").document
    assert made["names"] == ["appliance.lan", "10.0.0.5"]
    assert (lab.data / "tls" / "ca.pem").is_file()
    assert run("tls", "issue", "a b", "--json").code == (2, "certificate_unusable")


def leaf(data: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((data / "tls" / "server.pem").read_bytes())


def test_a_lab_renews_without_a_question_and_the_ca_stays(lab: LabData, run: Run) -> None:
    run("tls", "issue", "appliance.lan", "10.0.0.5")
    ca, before = (lab.data / "tls" / "ca.pem").read_bytes(), leaf(lab.data)
    assert (lab.data / "tls" / "ca.key").stat().st_mode & 0o777 == 0o600
    done = run("tls", "renew", "--json")
    after = leaf(lab.data)
    assert done.status == 0 and after.serial_number != before.serial_number
    assert done.document["ends"][:10] == f"{after.not_valid_after_utc:%Y-%m-%d}"
    assert (lab.data / "tls" / "ca.pem").read_bytes() == ca
    names = x509.SubjectAlternativeName
    assert after.extensions.get_extension_for_class(names) == (
        before.extensions.get_extension_for_class(names)
    )
    certificates.server_context(lab.data / "tls" / "server.pem", lab.data / "tls" / "server.key")


def test_a_site_keeps_the_key_under_a_passphrase_or_on_a_stick(tmp_path: Path) -> None:
    data, stick = make_site(tmp_path, Simulator()).data, tmp_path / "stick" / "ca.key"
    stick.parent.mkdir()
    words = tmp_path / "words"
    words.write_text("short\n")
    issue = ("tls", "issue", "appliance.lan", "--json", "--passphrase-file", words)
    assert run_command(*issue, data=data).code == (1, "passphrase_refused")
    words.write_text("correct horse battery\n")
    assert run_command(*issue, "--ca-key", stick, data=data).status == 0
    assert b"ENCRYPTED" in stick.read_bytes() and not (data / "tls" / "ca.key").exists()
    renew = ("tls", "renew", "--json", "--passphrase-file", words)
    assert run_command(*renew, data=data).code == (1, "ca_key_missing")
    assert run_command(*renew, "--ca-key", stick, data=data).status == 0
    before = leaf(data)
    words.write_text("wrong horse battery\n")
    assert run_command(*renew, "--ca-key", stick, data=data).code == (1, "passphrase_refused")
    assert leaf(data) == before


def test_where_the_key_is_gone_a_new_ca_comes_with_its_day(lab: LabData, run: Run) -> None:
    tls = lab.data / "tls"
    run("tls", "issue", "appliance.lan")
    (tls / "ca.key").unlink()  # as in an installation before the key was kept
    assert run("tls", "renew", "--json").code == (1, "ca_key_missing")
    before = leaf(lab.data)
    done = run("tls", "renew", "--new-ca", "--json")
    assert done.status == 0 and done.document["clients"] == str(tls / "clients.pem")
    assert leaf(lab.data) == before  # until its day
    assert (tls / "clients.pem").read_bytes().count(b"BEGIN CERTIFICATE") == 2
    ssl.create_default_context(cafile=str(tls / "clients.pem"))
    assert (tls / "next" / "ca.key").exists()
    run("tls", "issue", "other.lan")  # in place of it: nothing of the change comes any more
    assert certificates.standing(tls / "server.pem").changes is None
    assert certificates.for_clients(tls / "server.pem") == (tls / "ca.pem").read_bytes()


def test_the_key_of_another_ca_and_a_foreign_certificate_are_refused(
    lab: LabData, run: Run, tmp_path: Path
) -> None:
    initialise(
        tmp_path / "other", "lab", names=["x.lan"], ca_key=certificates.CaKey(tmp_path / "k")
    )
    run("tls", "issue", "appliance.lan")
    assert run("tls", "renew", "--ca-key", tmp_path / "k", "--json").code == (1, "key_unreadable")
    other = (tmp_path / "other" / "tls" / "server.pem").read_bytes()
    (lab.data / "tls" / "server.pem").write_bytes(other)
    assert run("tls", "renew", "--json").code == (1, "certificate_foreign")


@pytest.mark.parametrize("more", [("--ca-key", "k"), ("--passphrase-file", "p")])
def test_init_takes_a_place_for_the_key_with_names_only(
    tmp_path: Path, more: tuple[str, str]
) -> None:
    done = run_command("init", *more, data=tmp_path / "data")
    assert done.status == 2 and not (tmp_path / "data").exists()
