"""`appliance protect`: on, change, renew, off, backups, and a server that takes the passphrase."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from appliance.auth.secret_file import read_secret
from appliance.cli.doctor import find_problems
from appliance.cli.main import cli
from appliance.host import host_key
from appliance.trust.bytes import ecdsa
from appliance.trust.policy import officers
from tests.api.admin.lab import LabData
from tests.cli.conftest import Run, run_command
from tests.cli.test_doctor import HOST
from tests.conftest import need_tool
from tests.host.soft_tpm import SoftTpm
from tests.tokens.softhsm import PIN, needs_softhsm, soft_token
from tests.trust.forge import new_key

WORDS, OTHER = "correct horse battery", "another good passphrase"
_PIPE = 4096


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


def test_a_new_secret_is_taken_in_by_the_same_command(
    lab: LabData, run: Run, tmp_path: Path
) -> None:
    (words := tmp_path / "words").write_text(WORDS)
    config, secret = lab.data / "appliance.toml", ("--passphrase-file", words)
    (lab.data / "scrape").write_text("sk-scrape")
    (tmp_path / "hook").write_text("sk-hook")
    for path in (lab.data / "scrape", tmp_path / "hook"):
        path.chmod(0o600)
    assert run("protect", "on", *secret).status == 0
    before = [problem.code for problem in find_problems(lab.data, HOST)]
    hook = f'[notify.n]\nto = "http://127.0.0.1:9/x"\ntoken = "{tmp_path}/hook"\n'
    config.write_text(config.read_text() + f'\n[metrics]\ntoken = "scrape"\n{hook}')
    told = [problem.code for problem in find_problems(lab.data, HOST)]
    assert told == ["key_in_plain", *before]
    again = run("protect", "on", *secret)
    assert "scrape" in again.out and f"{tmp_path}/hook stays in plain" in again.err
    assert b"sk-" not in (lab.data / "scrape").read_bytes()
    assert read_secret(lab.data, "scrape") == "sk-scrape"
    assert [problem.code for problem in find_problems(lab.data, HOST)] == before
    host_key.lock(lab.data)


def test_keys_are_renewed_by_one_verb(lab: LabData, run: Run, tmp_path: Path) -> None:
    secret = ("--passphrase-file", tmp_path / "words")
    (tmp_path / "words").write_text(WORDS)
    assert run("protect", "renew", "host", *secret, "--json").code == (1, "host_key_missing")
    assert run("protect", "on", *secret).status == 0
    assert run("protect", "renew", "host", *secret, "--json").document["protected"]
    told = run("protect", "renew", "evidence", *secret, "--json").document
    assert run("protect", "renew", "evidence", *secret, "--json").document == told
    assert "PUBLIC KEY" in told["pem"] and len(told["hint"]) == 64
    host_key.lock(lab.data)


@needs_softhsm
def test_a_token_holds_the_host_key(
    lab: LabData, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, words = soft_token(tmp_path / "hsm", monkeypatch), tmp_path / "words"
    words.write_text(PIN)
    key, secret = token.uri("host"), ("--passphrase-file", words)
    on = ("protect", "on", "--key", key, *secret, "--json")
    assert run(*on).code == (1, "token_key_missing")
    assert not host_key.protected(lab.data)
    public = ("--public", tmp_path / "host.pub")
    for name in (key, token.uri("other")):
        assert run_command("signer", "new", name, *public, *secret).status == 0
        public[1].unlink()
    assert run("protect", "on", "--key", lab.key("alice"), *secret).status == 2  # of a file
    assert run(*on).status == 0 and run(*on).status == 0
    assert run("protect", "on", "--key", token.uri("other"), *secret).status == 2
    host_key.lock(lab.data)
    assert run("key", "list", "--json").code == (1, "host_key_locked")
    words.write_text("000000")
    assert run("protect", "renew", "evidence", *secret, "--json").code == (1, "token_pin_wrong")
    words.write_text(PIN)
    assert run("protect", "renew", "host", *secret).status == 0
    host_key.lock(lab.data)
    words.write_text(f"{PIN}\n{WORDS}")
    (token.at / "tokens").rename(token.at / "away")
    (token.at / "tokens").mkdir()
    lost = run("protect", "change", *secret, "--json")
    assert lost.code == (1, "host_key_token") and "No such token" in lost.document["message"]
    (token.at / "tokens").rmdir()
    (token.at / "away").rename(token.at / "tokens")
    assert run("protect", "change", *secret).status == 0  # to a passphrase
    officer = ("--officer", token.uri("other"))
    assert run("protect", "change", *officer, *secret).status == 2  # no token has it
    host_key.lock(lab.data)


@pytest.mark.parametrize("place", ["tpm:24", "tpm:x", "tpm:7,", "tpm:,7", "tpm:7 ", "tpm:-1"])
def test_pcrs_are_named_by_their_numbers(run: Run, place: str) -> None:
    done = run("protect", "on", "--key", place)
    assert done.status == 2 and "PCR" in done.err


def test_a_tpm_holds_the_host_key_where_officers_can_open_it(
    lab: LabData, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("swtpm", "tpm2_pcrextend", "tpm2_flushcontext"):
        need_tool(name)
    assert run("protect", "on", "--key", "tpm:7").status == 2  # a lab has none
    assert not host_key.protected(lab.data)
    officer, words = new_key(), tmp_path / "words"
    (pem := tmp_path / "officer.pem").write_bytes(ecdsa.private_pem(officer, OTHER))
    words.write_text(OTHER)
    monkeypatch.setattr(officers, "keys", lambda _: (officer.public_key(),))
    soft = SoftTpm(tmp_path / "tpm", monkeypatch)
    soft.chosen()
    again = ("--officer", pem, "--passphrase-file", words)
    with soft.running():
        for _ in range(2):
            assert run("protect", "on", "--key", "tpm:7").status == 0
        assert run("protect", "on", "--key", "tpm:8").status == 2
        host_key.lock(lab.data)
        assert run("key", "list").status == 0
        host_key.lock(lab.data)
        soft.extend(7)
        before = (lab.data / host_key.FILE).read_bytes()
        assert run("key", "list", "--json").code == (1, "host_key_pcrs")
        assert run("protect", "renew", "host", "--json").code == (1, "host_key_pcrs")
        assert (lab.data / host_key.FILE).read_bytes() == before
        assert run("protect", "change", "--key", "tpm:7", *again).status == 0
        host_key.lock(lab.data)
        assert run("protect", "renew", "host").status == 0
    found = run("audit", "search", "--kind", "admin", "--json").document["entries"]
    changes = [e["body"] for e in found if e["body"]["action"] == "protect_change"]
    assert [body.get("officer") for body in changes] == [ecdsa.hint(officer.public_key())]
    host_key.lock(lab.data)


def piped(*words: str | Path, given: bytes) -> tuple[int, bytes, str]:
    done = CliRunner().invoke(cli, [str(word) for word in words], input=given)
    return done.exit_code, done.stdout_bytes, done.stderr


def stopped_and_continued(*words: str | Path, given: Path) -> tuple[int, bytes]:
    command = [sys.executable, "-m", "appliance", *words]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with (
        given.open() as stdin,
        subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, env=env, pipesize=_PIPE
        ) as process,
    ):
        assert process.stdout is not None
        held = bytearray(4)
        while int.from_bytes(held, sys.byteorder) < _PIPE:
            time.sleep(0.05)
            fcntl.ioctl(process.stdout, termios.FIONREAD, held)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        process.send_signal(signal.SIGCONT)
        os.waitid(os.P_PID, process.pid, os.WCONTINUED | os.WNOWAIT)
        out = process.stdout.read()
    return process.returncode, out


@pytest.mark.executed
def test_a_backup_passes_through(lab: LabData, tmp_path: Path) -> None:
    archive, on = b"archive" * 400_000, ("--data", lab.data)
    public, private = tmp_path / "o.pub", tmp_path / "o.pem"
    (words := tmp_path / "words").write_text(WORDS)
    made = run_command("signer", "new", private, "--public", public, "--passphrase-file", words)
    assert made.status == 0
    status, sealed, _ = piped("protect", "encrypt", "--to", public, *on, given=archive)
    assert status == 0 and archive[:70] not in sealed
    opening = ("protect", "decrypt", "--key", private, "--passphrase-file", words)
    assert piped(*opening, given=sealed)[:2] == (0, archive)
    status, out, told = piped(*opening, given=sealed[:-1])
    assert (status, archive.startswith(out)) == (1, True) and "backup_damaged" in told
    (backup := tmp_path / "backup").write_bytes(sealed)
    assert stopped_and_continued(*opening, given=backup) == (0, archive)
    status, out, told = piped("protect", "encrypt", *on, given=b"")
    assert (status, out) == (1, b"") and "backup_recipients" in told  # a lab has no officers


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


@needs_softhsm
def test_the_log_names_the_officer_who_opened_a_lost_tokens(
    lab: LabData, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, words, officer = soft_token(tmp_path / "hsm", monkeypatch), tmp_path / "w", new_key()
    (pem := tmp_path / "officer.pem").write_bytes(ecdsa.private_pem(officer, OTHER))
    monkeypatch.setattr(officers, "keys", lambda _: (officer.public_key(),))  # a lab has none
    words.write_text(f"{PIN}")
    key, secret = token.uri("host"), ("--passphrase-file", words)
    assert run("signer", "new", key, "--public", tmp_path / "host.pub", *secret).status == 0
    assert run("protect", "on", "--key", key, *secret).status == 0
    shutil.rmtree(token.at / "tokens")
    host_key.lock(lab.data)
    words.write_text(OTHER)  # the officer's own words are no new passphrase
    before = (lab.data / host_key.FILE).read_bytes()
    change = ("protect", "change", "--officer", pem, *secret)
    assert run(*change, "--json").code == (2, "passphrase_missing")
    assert (lab.data / host_key.FILE).read_bytes() == before
    host_key.lock(lab.data)
    words.write_text(f"{OTHER}\n{WORDS}")
    assert run(*change).status == 0
    words.write_text(f"{WORDS}\n{OTHER}")
    assert run("protect", "change", *secret).status == 0  # the control: nobody's
    found = run("audit", "search", "--kind", "admin", "--json").document["entries"]
    changes = [e["body"] for e in found if e["body"]["action"] == "protect_change"]
    assert [body.get("officer") for body in changes] == [ecdsa.hint(officer.public_key()), None]
    host_key.lock(lab.data)
