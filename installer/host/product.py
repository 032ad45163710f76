"""Runs commands of the installed product, as the account of the service.

Rules: the product is started, never imported; its environment is clean and its working directory
is the root; answers are the JSON of `--json`. Private keys stay with the product's commands.
"""

import contextlib
import json
import os
import pwd
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from installer.host.answers import Answers, Layout
from installer.host.assemble import CLEAN, PYTHON
from installer.host.problems import InstallError


@dataclass(frozen=True)
class Product:
    """The product of one release.

    Args:
        account: who they run as; None: the user who runs the installer.
    """

    root: Path
    data: Path
    account: str | None

    def run(self, *arguments: str, on_data: bool = True, timeout: float = 600) -> dict[str, Any]:
        """Run a command with `--json`, and `--data` if `on_data` (`step_failed`)."""
        done = self.try_run(*arguments, on_data=on_data, timeout=timeout)
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip()[-2000:]
            raise InstallError("step_failed", f"appliance {' '.join(arguments[:2])}: {said}")
        try:
            found = json.loads(done.stdout)
        except ValueError as error:
            raise InstallError("step_failed", f"appliance {arguments[0]}: {error}") from error
        if not isinstance(found, dict):
            raise InstallError("step_failed", f"appliance {arguments[0]}: no JSON object.")
        return found

    def try_run(
        self, *arguments: str, on_data: bool = True, timeout: float = 600
    ) -> "subprocess.CompletedProcess[str]":
        """As `run`, whatever the exit status; `step_failed` without a start or a timely end."""
        on = ["--data", str(self.data)] if on_data else []
        command = [*self._command(*arguments), *on, "--json"]
        try:
            return subprocess.run(
                command,
                env=self._environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout,
                umask=0o077,
                **self._identity(),
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InstallError("step_failed", f"appliance {arguments[0]}: {error}") from error

    @contextlib.contextmanager
    def filtering(
        self, *arguments: str, source: IO[bytes] | int, target: IO[bytes] | int
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """It may ask at the terminal; after `step_failed` standard error has the reason."""
        try:
            process = subprocess.Popen(
                self._command(*arguments), env=self._environment(), cwd="/", stdin=source,
                stdout=target, umask=0o077, **self._identity(),
            )  # fmt: skip
        except OSError as error:
            raise InstallError("step_failed", f"appliance {arguments[0]}: {error}") from error
        with process:
            try:
                yield process
            except BrokenPipeError:
                pass  # it says why
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise InstallError("step_failed", f"appliance {' '.join(arguments[:2])} failed.")

    def _command(self, *arguments: str) -> list[str]:
        return [str(self.root / PYTHON), "-I", "-m", "appliance", *arguments]

    def _environment(self) -> dict[str, str]:
        home = "/" if self.account else str(Path.home())
        return CLEAN | {"HOME": home} | _credentials()

    def _identity(self) -> dict[str, Any]:
        if self.account is None or os.geteuid() != 0:
            return {}
        entry = pwd.getpwnam(self.account)
        groups = os.getgrouplist(self.account, entry.pw_gid)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": groups}


def product(layout: Layout, answers: Answers, release: str, data: Path | None = None) -> Product:
    """The product of a release on this host."""
    account = None if layout.user else answers.account
    return Product(layout.release(release) / "root", data or layout.data, account)


def _credentials() -> dict[str, str]:
    """The place of the passphrase of protected keys, if the environment names it."""
    name = "CREDENTIALS_DIRECTORY"
    return {name: os.environ[name]} if name in os.environ else {}
