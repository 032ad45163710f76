"""A confined child: what it has, how its end is read, and that nothing is left of it."""

import signal
import sys
from pathlib import Path

import pytest

from appliance.workers.child import Child, OrderedChild
from appliance.workers.process import engine

pytestmark = pytest.mark.executed


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_child_has_an_empty_environment_and_the_descriptors_that_it_needs() -> None:
    child = engine()
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
    engine().end()
    assert descriptors() == before


def test_nothing_is_left_of_a_child_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        engine()
    assert descriptors() == before


PROGRAM = """\
import os, sys
order, out, *words = sys.argv[1:]
sys.stderr.write("x" * 200_000 + "end")
os.write(int(out), os.read(int(order), 100) + " ".join(words).encode())
sys.exit(3)
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that a child runs: `python -I` finds it because the interpreter is another one."""
    (tmp_path / "spoken.py").write_text(PROGRAM)
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nshift 4\nname=$1\nshift\nexec {sys.executable} {tmp_path}/$name.py "$@"\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    return "spoken"


async def test_status_and_the_end_of_the_errors(program: str) -> None:
    before = descriptors()
    child = OrderedChild.ordered(program, b"order ", "words", gives=())
    assert child.finish(100) == b"order words"  # a full error pipe holds it up no longer
    status, errors = await child.ended()
    assert (status, len(errors)) == (3, 4096) and errors.endswith(b"xend")
    assert child.last_words().startswith("ended with 3: xx")
    child.end()
    assert descriptors() == before


def test_a_child_that_was_ended_says_by_what() -> None:
    child = Child.start("appliance.engine.worker", 0, 0)
    child.end()
    assert child.wait()[0] == -signal.SIGKILL
    child.end()  # again is nothing
