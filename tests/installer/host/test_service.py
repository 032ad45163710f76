"""The service: systemd's commands in their order, or the holder of the data."""

import fcntl
import socket
from pathlib import Path

import pytest

from installer.host.problems import InstallError
from installer.host.service import Service

SCRIPT = """#!/bin/sh
echo "$0 $*" | sed 's|.*/||' >> "{log}"
case "$*" in {fails}) exit 1 ;; esac
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs named like systemd's that record their calls."""
    log = tmp_path / "calls"
    log.touch()

    def install(fails: str) -> None:
        for name in ("systemctl", "journalctl"):
            path = tmp_path / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(SCRIPT.format(log=log, fails=fails))
            path.chmod(0o755)

    install("nothing")
    monkeypatch.setattr("installer.host.service.CLEAN", {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"})
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return log


def test_starting_reads_the_units_first(calls: Path, tmp_path: Path) -> None:
    Service(True, False, tmp_path).start()
    lines = calls.read_text().splitlines()
    assert lines[0] == "systemctl daemon-reload"
    assert lines[-1] == "systemctl start appliance.service"


def test_at_the_boot_nobody_waits_for_the_start(calls: Path, tmp_path: Path) -> None:
    Service(True, False, tmp_path).start_later()
    assert calls.read_text().splitlines() == [
        "systemctl daemon-reload", "systemctl start --no-block appliance.service",
    ]  # fmt: skip


def test_a_service_that_does_not_start_is_unhealthy(calls: Path, tmp_path: Path) -> None:
    (tmp_path / "bin" / "systemctl").write_text(SCRIPT.format(log=calls, fails="start*"))
    with pytest.raises(InstallError) as refused:
        Service(True, False, tmp_path).start()
    assert refused.value.code == "health_failed"


def test_a_users_manager_is_asked_as_such(calls: Path, tmp_path: Path) -> None:
    service = Service(True, True, tmp_path)
    service.enable()
    service.disable()
    lines = calls.read_text().splitlines()
    assert all(line.startswith("systemctl --user ") for line in lines)
    assert not any("recover" in line for line in lines)


def test_without_systemd_nothing_is_called(calls: Path, tmp_path: Path) -> None:
    service = Service(False, False, tmp_path)
    service.enable()
    service.start()
    service.wait()
    service.start_later()
    service.disable()
    assert service.stop() is False
    assert calls.read_text() == ""


def test_a_server_that_holds_the_data_is_noticed(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        service = Service(False, False, tmp_path)
        assert service.running()
        with pytest.raises(InstallError) as refused:
            service.stop()
        assert refused.value.code == "service_running"
    assert not service.running()


def test_a_server_answers_at_its_socket_and_nowhere_else(tmp_path: Path) -> None:
    service = Service(True, False, tmp_path)
    (tmp_path / "run").mkdir()
    assert not service.answers()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "run" / "admin.sock"))
        assert not service.answers()  # a socket that nobody listens on
        listener.listen()
        assert service.answers()
        service.wait()


def test_a_service_that_fails_meanwhile_is_unhealthy(calls: Path, tmp_path: Path) -> None:
    """`is-failed` succeeds: then nobody waits for a socket that never comes."""
    with pytest.raises(InstallError) as refused:
        Service(True, False, tmp_path).wait()
    assert refused.value.code == "health_failed"
