"""The peer of a Unix socket, as the kernel tells it."""

import os
import socket
import subprocess
import sys

import pytest

from appliance.api.admin.peer import Peer, peer_of

CONNECT = """
import os, socket
os.setgroups([1001, 1002])
os.setresgid(65533, 65533, 65533)
os.setresuid(65534, 65534, 65534)
client = socket.socket(socket.AF_UNIX)
client.connect(ADDRESS)
client.recv(1)
"""


def test_the_peer_is_the_process_that_connected() -> None:
    here, there = socket.socketpair()
    with here, there:
        assert peer_of(here) == Peer(os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))


def test_a_network_socket_has_no_peer() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as connected,
    ):
        assert peer_of(connected) is None


def test_no_socket_has_no_peer() -> None:
    assert peer_of(None) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_comes_with_all_groups() -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("")  # an abstract name that the kernel picks
        listener.listen()
        program = CONNECT.replace("ADDRESS", repr(listener.getsockname()))
        child = subprocess.Popen([sys.executable, "-I", "-c", program])
        accepted, _ = listener.accept()
        with accepted:
            assert peer_of(accepted) == Peer(65_534, frozenset({65_533, 1001, 1002}))
        assert child.wait() == 0
