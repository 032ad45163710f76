"""A host whose keys only its TPM 2.0 opens: `swtpm` behind `libtpm2-pkcs11`; people by SoftHSM."""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.audit.verification.verify import verify_log
from appliance.host import host_key
from tests.cli.conftest import Done, run_command
from tests.conftest import CHECKOUT, need_tool, unavailable
from tests.contract.test_softhsm import TokenSite
from tests.forwarding.test_forwarder import until
from tests.guide_blocks import block
from tests.ports import free_port
from tests.tokens.softhsm import PIN, needs_softhsm, soft_token
from tests.wiring.test_protection import found_on_disk, secrets_of

TOOLS = ("swtpm", "tpm2_ptool", "tpm2_flushcontext")
MODULE = next(Path("/usr/lib").glob("*/pkcs11/libtpm2_pkcs11.so"), None)
pytestmark = [pytest.mark.slow, needs_softhsm]
TPM_PIN, WORDS = "271828", "correct horse battery"
FLUSH = "/usr/bin/tpm2_flushcontext -t\n/usr/bin/tpm2_flushcontext -l\n"
KEY = f"pkcs11:token=host;object=appliance?module-path={MODULE}"


class SoftTpm:
    """A TPM with its state and the store of its PKCS#11 module.

    It has three places for keys and no manager of them, as the kernel's device has: they are
    emptied after each program.
    """

    def __init__(self, at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state, self.store, self.bin = at / "state", at / "store", at / "bin"
        self.port, self._patch = free_pair(), monkeypatch
        for path in (self.state, self.store, self.bin):
            path.mkdir(parents=True)
        programs = {path.name: f'{path} "$@"' for path in Path("/usr/bin").glob("tpm2_*")}
        programs["appliance"] = f'{sys.executable} -m appliance "$@"'
        for name, command in programs.items():
            (script := self.bin / name).write_text(f"#!/bin/sh\n{command} || exit\n{FLUSH}")
            script.chmod(0o755)

    def chosen(self) -> None:
        """The one that the commands find from now on."""
        tcti = f"swtpm:host=127.0.0.1,port={self.port}"
        named = {"TPM2_PKCS11_STORE": self.store, "TPM2_PKCS11_TCTI": tcti, "TPM2TOOLS_TCTI": tcti}
        for name, value in named.items():
            self._patch.setenv(name, str(value))

    @contextmanager
    def running(self) -> Iterator[None]:
        ends = [f"type=tcp,port={port}" for port in (self.port, self.port + 1)]
        command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.state}"]
        command += ["--server", ends[0], "--ctrl", ends[1]]
        command += ["--flags", "not-need-init,startup-clear"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                until(lambda: listens(self.port + 1))
                yield
            finally:
                process.terminate()

    def typed(self, lines: str, **variables: object) -> None:
        """As a person types them, with the commands of this checkout."""
        self.chosen()
        more = {"PATH": f"{self.bin}:{os.environ['PATH']}", "PYTHONPATH": CHECKOUT,
                "PIN": TPM_PIN, "SO_PIN": "sopin", "MODULE": MODULE, **variables}  # fmt: skip
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines], cwd=self.bin, capture_output=True, text=True,
            env={**os.environ, **{name: str(value) for name, value in more.items()}},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def free_pair() -> int:
    """A port whose successor is free, too."""
    while True:
        port = free_port()
        if not listens(port + 1):
            return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def digests(data: Path) -> dict[str, str]:
    files = [path for path in sorted(data.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(autouse=True)
def _packages() -> None:
    for name in TOOLS:
        need_tool(name)
    if MODULE is None:
        unavailable("libtpm2-pkcs11-1 is not installed (tests/debian-packages.txt)")


def test_only_its_tpm_or_an_officer_opens_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = TokenSite(tmp_path, soft_token(tmp_path / "hsm", monkeypatch))
    stick, data, copy = site.published(), tmp_path / "data", tmp_path / "copy"
    root = stick / "metadata" / "1.root.json"
    first = ("--root", root, "--fingerprint", hashlib.sha256(root.read_bytes()).hexdigest())
    site.run("init", "--profile", "site", *first, "--name", "localhost", "--passphrase-file",
             words(tmp_path, WORDS), data=data, pin=False)  # fmt: skip
    site.run("trust", "update", stick, data=data, pin=False)
    tpm, other = (SoftTpm(tmp_path / name, monkeypatch) for name in ("tpm", "other"))
    pin, credential = words(tmp_path, TPM_PIN), tmp_path / "given" / host_key.CREDENTIAL
    credential.parent.mkdir()
    credential.write_text(TPM_PIN)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credential.parent))

    def run(*command: str | Path, at: Path = data, secret: Path | None = None) -> Done:
        host_key.lock(at)
        given = () if secret is None else ("--passphrase-file", secret)
        done = run_command(*command, "--json", *given, data=at)
        subprocess.run(["sh", "-c", FLUSH], capture_output=True)
        return done

    guide = block("site-guide", "tpm2_ptool init")
    with tpm.running():
        secrets = secrets_of(data)
        assert found_on_disk(data, secrets) == secrets.keys()  # the control
        tpm.typed(guide, WORDS=pin, APPLIANCE_DATA=data)
        assert found_on_disk(data, secrets) == set()
        credential.write_text("000000")
        assert run("key", "list").code == (1, "token_pin_wrong")
        credential.write_text(TPM_PIN)
        assert run("serve", "--detach", "--port", "0").status == 0
        assert run("key", "new", "app").status == 0
        assert run("serve", "--stop").status == 0
        assert run("protect", "renew", "kek").status == 0
        assert run("protect", "renew", "host", secret=pin).status == 0
        assert run("key", "list").status == 0
    shutil.copytree(data, copy)
    before = digests(copy)
    assert run("key", "list", at=copy).code == (1, "host_key_token")
    tpm.state.rename(tmp_path / "kept")
    tpm.state.mkdir()
    with tpm.running():  # reset
        for command in (("key", "list"), ("protect", "change"), ("protect", "renew", "host")):
            secret = None if command[0] == "key" else pin
            assert run(*command, at=copy, secret=secret).code == (1, "host_key_token")
    with other.running():  # another host, whose token and key have the same names
        other.typed(guide[: guide.index("appliance protect")], WORDS=pin)
        assert run("key", "list", at=copy).code == (1, "host_key_token")
        assert digests(copy) == before
        held = (copy / host_key.FILE).read_bytes()
        both = words(tmp_path, f"{PIN}\n{TPM_PIN}")
        lost = ("protect", "change", "--key", KEY, "--officer")
        other.typed('tpm2_ptool addkey --algorithm ecc256 --label host --key-label signs '
                    '--userpin "$PIN"')  # fmt: skip
        signs = ("protect", "change", "--key", KEY.replace("appliance", "signs"), "--officer")
        done = run(*signs, site.key("Ada-root"), at=copy, secret=both)
        assert done.code == (1, "token_refused")
        assert (copy / host_key.FILE).read_bytes() == held
        assert run(*lost, site.key("Paula"), at=copy, secret=both).code == (1, "host_key_token")
        assert run(*lost, site.key("Ada-root"), at=copy, secret=both).status == 0
        assert run("key", "list", at=copy).status == 0
    tpm.chosen()
    shutil.rmtree(tpm.state)
    (tmp_path / "kept").rename(tpm.state)
    with tpm.running():
        assert run("key", "list", at=copy).code == (1, "host_key_token")
        both = words(tmp_path, f"{TPM_PIN}\n{WORDS}")
        assert run("protect", "change", secret=both).status == 0
    credential.write_text(WORDS)
    assert run("key", "list").status == 0
    assert verify_log(data / "audit").ok
    host_key.lock(data)


def words(at: Path, text: str) -> Path:
    path = at / f"words-{len(text)}"
    path.write_text(text)
    return path
