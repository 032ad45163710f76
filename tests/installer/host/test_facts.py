"""Facts of the host, without a socket."""

import os
import socket
from pathlib import Path

from installer.host import facts


def test_this_host() -> None:
    found = facts.host()
    assert found.machine == os.uname().machine
    assert found.memory > 1 << 28
    assert found.kernel >= (4, 0)


def test_listening_ports_are_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert port in facts.host().listening
    assert port not in facts.host().listening


def test_space_of_a_directory_that_is_not_there_yet(tmp_path: Path) -> None:
    found = facts.space(tmp_path / "a" / "b")
    assert found.device == tmp_path.stat().st_dev
    assert found.free > 0
