"""Openers of a protected data directory: credential, file, person."""

import os
import subprocess
from pathlib import Path

import pytest

from appliance.cli import unlocking
from appliance.errors import StateRefused
from appliance.host import host_key
from tests.cli.conftest import run_command
from tests.conftest import need_tool
from tests.guide_blocks import block
from tests.tokens.softhsm import PIN, TOKEN_INFO, needs_gcc, soft_token

WORDS = "correct horse battery"


def test_nobody_can_be_asked_without_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlocking.unlock(tmp_path)  # nothing is under a key
    host_key.make(tmp_path, WORDS)
    host_key.lock(tmp_path)
    with pytest.raises(StateRefused) as caught:
        unlocking.unlock(tmp_path)
    assert caught.value.code == "host_key_locked"
    (words := tmp_path / "words").write_text(WORDS + "\nmore\n")
    unlocking.unlock(tmp_path, words)
    host_key.lock(tmp_path)
    monkeypatch.setattr(unlocking, "asks", lambda: True)
    monkeypatch.setattr("click.prompt", lambda *_, **__: WORDS)
    unlocking.unlock(tmp_path)
    assert not host_key.locked(tmp_path)


def test_commands_without_a_server_take_the_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    (words := tmp_path / host_key.CREDENTIAL).write_text(WORDS + "\n")
    assert run_command("init", data=data).status == 0
    assert run_command("protect", "on", "--passphrase-file", words, data=data).status == 0
    host_key.lock(data)
    assert run_command("key", "list", "--json", data=data).code == (1, "host_key_locked")
    assert run_command("serve", "--port", "0", data=data).status == 1
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert run_command("key", "list", "--json", data=data).status == 0
    host_key.lock(data)


@pytest.mark.skipif(os.geteuid() != 0, reason="for others systemd-creds asks a running systemd")
def test_the_credential_that_the_guide_encrypts_unlocks_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_tool("systemd-creds")
    monkeypatch.setenv("SYSTEMD_CREDENTIAL_SECRET", str(tmp_path / "secret"))  # the host's is kept
    encrypt = block("admin-guide", "systemd-creds").splitlines()[0]
    encrypt = encrypt.replace("--with-key=auto", "--with-key=host").replace("/etc/appliance", ".")
    (tmp_path / "given").mkdir()
    name = host_key.CREDENTIAL
    decrypt = f"systemd-creds decrypt --name={name} passphrase.cred given/{name}"
    for command in (encrypt, decrypt):  # systemd does the second at each start
        subprocess.run(["sh", "-c", command], cwd=tmp_path, input=WORDS.encode(), check=True)
    assert WORDS.encode() not in (tmp_path / "passphrase.cred").read_bytes()
    data = tmp_path / "data"
    assert run_command("init", data=data).status == 0
    (tmp_path / "typed").write_text(WORDS)
    typed = ("--passphrase-file", tmp_path / "typed")
    assert run_command("protect", "on", *typed, data=data).status == 0
    host_key.lock(data)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "given"))
    assert run_command("key", "list", "--json", data=data).status == 0
    host_key.lock(data)


@needs_gcc
def test_the_last_try_of_a_token_is_not_a_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, data = soft_token(tmp_path / "hsm", monkeypatch), tmp_path / "data"
    (words := tmp_path / host_key.CREDENTIAL).write_text(PIN)
    secret = ("--passphrase-file", words)
    key = token.uri("host")
    public = tmp_path / "host.pub"
    assert run_command("signer", "new", key, "--public", public, *secret).status == 0
    assert run_command("init", data=data).status == 0
    assert run_command("protect", "on", "--key", key, *secret, data=data).status == 0
    last = token.faulty(
        TOKEN_INFO,
        "unsigned long rv = real(a,b,c,d,e,f,g,h);"
        " *(unsigned long *)(b + 96) |= 0x20000; return rv",
    )
    held = (data / host_key.FILE).read_text()
    (data / host_key.FILE).write_text(held.replace(str(token.module), str(last)))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    host_key.lock(data)
    with pytest.raises(StateRefused, match="the last try") as caught:
        unlocking.unlock(data)
    assert caught.value.code == "host_key_token"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    unlocking.unlock(data, words)  # a person's
    host_key.lock(data)
