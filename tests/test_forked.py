"""A forked program is the program: beside each stands the same one, executed."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.forked import FORKING, Order

PYTHON = sys.executable


@contextmanager
def executed() -> Iterator[None]:
    FORKING.wanted = False
    try:
        yield
    finally:
        FORKING.wanted = True


def ran(*words: str, **given: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([PYTHON, *words], capture_output=True, text=True, check=False, **given)


@pytest.mark.parametrize(
    "words",
    [
        ("-m", "appliance", "--version"),
        ("-m", "appliance", "nonsense"),
        ("-m", "appliance", "status", "--data", "nowhere", "--json"),
        ("-I", "-W", "ignore", "-m", "appliance.audit.verification.lookahead", "few"),
    ],
)
def test_it_says_and_returns_what_an_executed_one_does(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    found = ran(*words, cwd=tmp_path)
    with executed():
        real = ran(*words, cwd=tmp_path)
    assert (found.returncode, found.stdout) == (real.returncode, real.stdout)
    assert found.stderr.splitlines()[-1:] == real.stderr.splitlines()[-1:]


@contextmanager
def reader(**given: Any) -> Iterator["subprocess.Popen[bytes]"]:
    waits, writes = os.pipe()
    words = ("-I", "-W", "ignore", "-m", "appliance.retrieval.reader", "markdown", "9")
    process = subprocess.Popen(
        [PYTHON, *words], stdin=waits, stdout=subprocess.DEVNULL, env={}, **given,
    )  # fmt: skip
    os.close(waits)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        os.close(writes)


def seen(process: "subprocess.Popen[bytes]") -> dict[str, object]:
    place = Path(f"/proc/{process.pid}")
    status = (place / "status").read_text()
    stat = (place / "stat").read_text().rpartition(")")[2].split()
    return {
        "parent": int(stat[1]),
        "session": int(stat[3]) == process.pid,
        "nice": stat[16],
        "mask": status.partition("Umask:")[2].split()[0],
        # A confined child may map so much more than it has mapped.
        "limits": re.sub("Max address space.*", "", (place / "limits").read_text()),
        "cwd": (place / "cwd").readlink(),
        "command": (place / "cmdline").read_bytes().rstrip(b"\0"),
        "open": len(list((place / "fd").iterdir())),
    }


def test_others_see_what_they_see_of_an_executed_one(tmp_path: Path) -> None:
    given = {"cwd": tmp_path, "start_new_session": True, "umask": 0o31}
    with reader(**given) as forked:
        with executed(), reader(**given) as real:
            end, pair = time.monotonic() + 60, (seen(forked), seen(real))
            while pair[0] != pair[1] and time.monotonic() < end:  # each begins
                pair = seen(forked), seen(real)
            assert pair[0] == pair[1]
        assert seen(forked)["parent"] == os.getpid()
        forked.send_signal(signal.SIGTERM)
        assert forked.wait() == -signal.SIGTERM


@contextmanager
def orders() -> Iterator[list[tuple[Order, object]]]:
    forking, asked = FORKING.forks, list[tuple[Order, object]]()
    assert forking is not None
    run = forking.run

    def noted(order: Order, descriptors: Sequence[int]) -> int:
        asked.append((order, descriptors))
        return run(order, descriptors)

    forking.run = noted  # type: ignore[method-assign]
    try:
        yield asked
    finally:
        del forking.run


def test_what_only_an_executed_program_heeds_is_executed(tmp_path: Path) -> None:
    version = ("-m", "appliance", "--version")
    with orders() as asked:
        ran(*version)
        assert len(asked) == 1
        ran("-X", "dev", *version)
        ran("-c", "0")
        ran(*version, env={**os.environ, "PYTHONWARNINGS": "error"})
        ran("-m", "appliance.engine.quantizer")
        (tmp_path / "appliance").mkdir()
        (tmp_path / "appliance" / "__main__.py").write_text("")
        ran(*version, cwd=tmp_path)
        with executed():
            ran(*version)
        assert len(asked) == 1


def test_a_shell_types_it() -> None:
    line = "umask 31; cd /; echo no | appliance nonsense || echo $?; appliance --version | cat"
    with orders() as asked:
        done = subprocess.run(
            ["/bin/sh", "-c", line], capture_output=True, text=True, check=True,
            env={"PATH": f"{FORKING.typed()}:/usr/bin:/bin"},
        )  # fmt: skip
    assert [(order.directory, order.mask) for order, _ in asked] == [("/", 0o31)] * 2
    said = ran("-m", "appliance", "--version").stdout
    assert done.stdout == f"2\n{said}"
    assert "No such command 'nonsense'" in done.stderr


@pytest.mark.executed
def test_a_marked_test_executes() -> None:
    assert not FORKING.wanted
