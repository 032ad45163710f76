"""`swtpm` from Debian as the TPM: for tpm2-tools, their PKCS#11 module, and the product."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.host import tpm
from tests.conftest import CHECKOUT
from tests.forwarding.test_forwarder import until

FLUSH = "/usr/bin/tpm2_flushcontext -t\n/usr/bin/tpm2_flushcontext -l\n"


class SoftTpm:
    """A TPM with its state and the store of its PKCS#11 module.

    It has three places for keys and no manager of them, as the kernel's device has: they are
    emptied after each program.
    """

    def __init__(self, at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state, self.store, self.bin = at / "state", at / "store", at / "bin"
        # A name that is short enough for a socket, and that no other test takes.
        self.socket = Path(tempfile.gettempdir()) / f"tpm-{secrets.token_hex(8)}" / "tpm"
        self._patch = monkeypatch
        for path in (self.state, self.store, self.bin):
            path.mkdir(parents=True)
        programs = {path.name: f'{path} "$@"' for path in Path("/usr/bin").glob("tpm2_*")}
        programs["appliance"] = f'{sys.executable} -m appliance "$@"'
        for name, command in programs.items():
            (script := self.bin / name).write_text(f"#!/bin/sh\n{command} || exit\n{FLUSH}")
            script.chmod(0o755)

    def chosen(self) -> None:
        """The one that the commands find from now on."""
        tcti = f"swtpm:path={self.socket}"
        named = {"TPM2_PKCS11_STORE": self.store, "TPM2_PKCS11_TCTI": tcti, "TPM2TOOLS_TCTI": tcti}
        for name, value in named.items():
            self._patch.setenv(name, str(value))
        self._patch.setattr(tpm, "open_device", self.connected)

    def connected(self) -> int:
        flush()
        with socket.socket(socket.AF_UNIX) as made:
            made.connect(str(self.socket))
            return made.detach()

    def extend(self, pcr: int) -> None:
        """As a changed program does that starts."""
        self.chosen()
        command = ["tpm2_pcrextend", f"{pcr}:sha256={'ab' * 32}"]
        subprocess.run(command, check=True, capture_output=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        control = self.socket.with_name("tpm.ctrl")  # where the tools look for it
        ends = [f"type=unixio,path={path}" for path in (self.socket, control)]
        command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.state}"]
        command += ["--server", ends[0], "--ctrl", ends[1]]
        command += ["--flags", "not-need-init,startup-clear"]
        self.socket.parent.mkdir()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                until(lambda: listens(control))
                yield
            finally:
                process.terminate()
                process.wait()  # it removes its sockets
                shutil.rmtree(self.socket.parent)

    def typed(self, lines: str, **variables: object) -> None:
        """As a person types them, with the commands of this checkout."""
        self.chosen()
        path = f"{self.bin}:{os.environ['PATH']}"
        more = {"PATH": path, "PYTHONPATH": CHECKOUT, **variables}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines], cwd=self.bin, capture_output=True, text=True,
            env={**os.environ, **{name: str(value) for name, value in more.items()}},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


def flush() -> None:
    """What the kernel's resource manager does at the end of a connection."""
    subprocess.run(["sh", "-c", FLUSH], capture_output=True)


def listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
