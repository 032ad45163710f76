"""The child of a worker: what it has, and that nothing is left when it cannot be started."""

import subprocess
import sys
from pathlib import Path

import pytest

from appliance.workers.spawn import spawn, watch


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_child_has_an_empty_environment_and_the_descriptors_that_it_needs() -> None:
    child = spawn()
    try:
        place = Path(f"/proc/{child.process.pid}")
        while not (line := (place / "cmdline").read_bytes()):
            pass  # it is being executed at this moment
        assert (place / "environ").read_bytes() == b""
        assert (place / "cwd").readlink() == Path("/")
        *_, talks, takes = line.decode().rstrip("\0").split("\0")
        has = {int(entry.name) for entry in (place / "fd").iterdir()}
        assert {0, 1, 2, int(talks), int(takes)} <= has
        assert not child.descriptors.getblocking()
    finally:
        child.end()
    assert child.process.returncode is not None


def test_nothing_is_left_of_a_child_that_is_ended() -> None:
    before = descriptors()
    spawn().end()
    assert descriptors() == before


def test_nothing_is_left_of_a_child_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        spawn()
    assert descriptors() == before


async def test_status_and_the_end_of_the_errors() -> None:
    program = "import sys; sys.stderr.write('x' * 9000 + 'end'); sys.exit(3)"
    process = subprocess.Popen([sys.executable, "-I", "-c", program], stderr=subprocess.PIPE)
    status, errors = await watch(process)
    assert status == 3
    assert len(errors) == 4096 and errors.endswith(b"xend")
