"""The service of this host: under systemd, or none.

With `none` the admin starts the server; then an upgrade refuses while one runs, and the health
check brings up its own server.
"""

import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from installer.host.answers import Answers, Layout
from installer.host.assemble import CLEAN
from installer.host.problems import InstallError
from installer.host.units import RECOVER, SERVICE

_PATIENCE: Final = 120.0


class Service:
    """Starts and stops the server.

    Args:
        managed, user: systemd does it, and the user's own.
        data: the data directory, whose lock tells whether a server runs.
    """

    def __init__(self, managed: bool, user: bool, data: Path) -> None:
        self.managed = managed
        self._scope = ["--user"] if user else []
        self._user = user
        self._data = data

    def stop(self) -> bool:
        """True if one ran; `service_running` when something else holds the data directory."""
        ran = self.managed and self._systemctl("is-active", "--quiet", SERVICE, check=False)
        if self.managed:
            self._systemctl("stop", SERVICE, check=False)
        if self._held():
            raise InstallError("service_running", f"A process holds {self._data}.")
        return ran

    def running(self) -> bool:
        return self._held()

    def enable(self) -> None:
        """Read the units and start the service at boot from now on."""
        if self.managed:
            self._systemctl("daemon-reload")
            names = [SERVICE] if self._user else [SERVICE, RECOVER]
            self._systemctl("enable", "--quiet", *names)

    def disable(self) -> None:
        """Undo `enable`; the units may be gone already."""
        if self.managed:
            names = [SERVICE] if self._user else [SERVICE, RECOVER]
            self._systemctl("disable", "--quiet", *names, check=False)
            self._systemctl("daemon-reload", check=False)

    def start(self) -> None:
        """Start the service and wait until it answers on the admin socket (`health_failed`)."""
        if not self.managed:
            return
        self._systemctl("daemon-reload")
        self._systemctl("reset-failed", SERVICE, check=False)
        if not self._systemctl("start", SERVICE, check=False):
            raise InstallError("health_failed", f"The service does not start: {self._why()}")

    def start_later(self) -> None:
        """Let systemd read the units and start the service, without waiting."""
        if self.managed:
            self._systemctl("daemon-reload", check=False)
            self._systemctl("start", "--no-block", SERVICE, check=False)

    def answers(self) -> bool:
        """True if a server listens on the admin socket, or none is expected to."""
        if not self.managed:
            return True
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            try:
                connection.connect(str(self._data / "run" / "admin.sock"))
            except OSError:
                return False
        return True

    def wait(self, tick: Callable[[float], None] = time.sleep) -> None:
        """Wait until the started server answers (`health_failed`)."""
        if not self.managed:
            return
        end = time.monotonic() + _PATIENCE
        while not self.answers():  # asked at its socket: a command would take the data itself
            if time.monotonic() > end or not self._alive():
                raise InstallError("health_failed", f"The service does not answer: {self._why()}")
            tick(0.5)

    def _alive(self) -> bool:
        return not self._systemctl("is-failed", "--quiet", SERVICE, check=False)

    def _why(self) -> str:
        journal = ["journalctl", *self._scope, "-u", SERVICE, "-n", "8", "--no-pager", "-o", "cat"]
        try:
            done = subprocess.run(journal, env=self._env(), capture_output=True, text=True)
        except OSError:
            return "see the journal."
        return done.stdout.strip()[-1500:] or "see the journal."

    def _systemctl(self, *arguments: str, check: bool = True) -> bool:
        try:
            done = subprocess.run(
                ["systemctl", *self._scope, *arguments],
                env=self._env(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
        except OSError as error:
            raise InstallError("step_failed", f"systemctl: {error.strerror}.") from error
        if check and done.returncode != 0:
            said = done.stderr.strip()
            raise InstallError("step_failed", f"systemctl {' '.join(arguments)}: {said}")
        return done.returncode == 0

    def _env(self) -> dict[str, str]:
        kept = {n: os.environ[n] for n in ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
                if self._user and n in os.environ}  # fmt: skip
        return CLEAN | kept

    def _held(self) -> bool:
        try:
            fd = os.open(self._data / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False


def service(layout: Layout, answers: Answers, *, systemd: bool) -> Service:
    """The service that the answers ask for, on a host that runs systemd or not."""
    managed = answers.service == "systemd" or (answers.service == "auto" and systemd)
    return Service(managed, layout.user, layout.data)
