"""A host without an appliance, with the real commands, server and engine: within four keys.

The model's path and the port that a person types are not counted.
"""

import contextlib
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.client import AdminClient, socket_path
from appliance.config import load_config
from appliance.wire.admin.models import STATUS
from tests.tui.drivers import DRIVERS, expect

MOST_KEYS = 4
pytestmark = pytest.mark.timeout(900)  # many steps, and the host may be busy


@contextlib.contextmanager
def server_ended(data: Path) -> Iterator[None]:
    """The server stays when the program ends; end it, and see that it goes."""
    try:
        yield
    finally:
        for pid in servers(data):
            with contextlib.suppress(ProcessLookupError):
                gone = os.pidfd_open(pid)
                os.kill(pid, signal.SIGTERM)
                assert select.select([gone], [], [], 60)[0]
                os.close(gone)


def servers(data: Path) -> list[int]:
    """Processes that serve a data directory."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if b"serve" in words and str(data).encode() in words:
                found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize(
    ("driver", "size"),
    [
        pytest.param("pilot", (80, 24), marks=pytest.mark.slow),
        ("tmux", (80, 24)),
        pytest.param("tmux", (60, 20), marks=pytest.mark.slow),
    ],
)
async def test_a_host_without_a_data_directory_ends_at_a_served_model(
    tmp_path_factory: pytest.TempPathFactory,
    default_model_path: Path,
    driver: str,
    size: tuple[int, int],
) -> None:
    data = tmp_path_factory.mktemp("host") / "data"
    with server_ended(data):
        async with DRIVERS[driver](data, size, ()) as at:
            await expect(at, "There is no appliance here yet.", "enter Set up")
            keys: list[str] = []

            async def press(key: str) -> None:
                keys.append(key)
                await at.press(key)

            await press("enter")
            await expect(at, "Set up a LAB appliance", "Model file (GGUF)", "enter next")
            await at.type(str(default_model_path))
            await press("enter")
            await at.type("0")  # any port that is free: others test on this host, too
            await press("enter")
            await expect(at, "is served", "LIVE", "[1 Overview]", "LAB", "+ serving")
            assert len(keys) <= MOST_KEYS
        with AdminClient(socket_path(data)) as client:  # it stays when the program ends
            status = client.call(STATUS)
        # The port that the person chose is the one of the next start, too.
        assert load_config(data).url() == status.url and not status.url.endswith(":0")
        assert status.state == "serving" and status.models[0].loaded
        assert servers(data)
