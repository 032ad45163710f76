"""The listeners of `serve`; the running server is tested in tests/cli and tests/system."""

import os
import socket
import stat
from pathlib import Path

import pytest

from appliance.errors import UsageError
from appliance.runtime import initialise
from appliance.server import SOCKET, _is_loopback, _listen, _listen_admin, serve


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("192.168.1.5", False), ("10.0.0.1", False),
        ("", False), ("example.org", False), ("localhost.example.org", False),
        ("127.0.0.1.example.org", False), ("::ffff:10.0.0.1", False), ("0", False),
    ],
)  # fmt: skip
def test_what_is_loopback(address: str, loopback: bool) -> None:
    assert _is_loopback(address) is loopback


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.5", "example.org"])
def test_no_other_address_is_ever_listened_on(tmp_path: Path, address: str) -> None:
    initialise(tmp_path / "data", "lab")
    with pytest.raises(UsageError) as caught:
        serve(tmp_path / "data", address, 0)
    assert caught.value.code == "bind_refused"
    assert not (tmp_path / "data" / SOCKET).exists()


def test_a_port_in_use_is_refused_by_its_number() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=str(port)) as caught, _listen("127.0.0.1", port):
            pass
    assert caught.value.code == "bind_refused"


def test_both_families_are_listened_on() -> None:
    with _listen("127.0.0.1", 0) as four:
        assert four.family is socket.AF_INET
    if socket.has_dualstack_ipv6():
        with _listen("::1", 0) as six:
            assert six.family is socket.AF_INET6


def test_the_admin_socket_is_for_its_group_and_gone_afterwards(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    before = os.umask(0o022)
    try:
        with _listen_admin(tmp_path):
            status = (tmp_path / SOCKET).stat()
            assert stat.S_ISSOCK(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o660
            assert os.umask(0o022) == 0o022  # put back
        assert not (tmp_path / SOCKET).exists()
    finally:
        os.umask(before)


def test_a_socket_left_by_a_crash_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / SOCKET))
    with _listen_admin(tmp_path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / SOCKET))


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    (deep / "run").mkdir(parents=True)
    with pytest.raises(UsageError, match="shorter --data"), _listen_admin(deep):
        pass
