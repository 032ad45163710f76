"""The screens beside a busy server: processor time and bytes sent, with the overview in front."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.loads import Load, staggered
from benchmarks.machine import CHECKOUT, processor_s
from benchmarks.measure import answers_of, load_of, start_generator
from benchmarks.results import Figure
from benchmarks.servers import BenchError, Server
from benchmarks.session import Session
from benchmarks.statistics import Summary
from installer.bundle.steps import say

_LEAD_S: Final = 10.0  # until the screens and the load are in full swing
_SECONDS: Final = 60.0
_SIZE: Final = (40, 120)
_SCREENS: Final[dict[str, tuple[str, ...]]] = {"as shipped": (), "basic": ("--basic",)}


def terminal(session: Session) -> list[Figure]:
    """`indep`, 8 at a time, beside the overview in a terminal of 120 columns and 40 lines."""
    shares: dict[str, list[float]] = {name: [] for name in _SCREENS}
    rates: dict[str, list[float]] = {name: [] for name in _SCREENS}
    with session.serving("ours") as server:
        for repetition in range(session.repeat):
            for name, options in _SCREENS.items():
                share, rate = _observe(session, server, repetition, options)
                shares[name].append(share)
                rates[name].append(rate)
                said = {"screens": name, "core_share": share, "bytes_s": rate}
                session.runs.append({"repetition": repetition, **said})
                say(f"  {name} {repetition + 1}: {share:.2%} of a core, {rate:.0f} bytes/s")
    return [
        Figure("share of a core, a poll a second", "", Summary.of(shares["as shipped"]),
               relation="≤", target=0.03),
        Figure("share of a core, basic", "", Summary.of(shares["basic"]),
               relation="≤", target=0.03),
        Figure("sent to the terminal", "bytes/s", Summary.of(rates["as shipped"])),
        Figure("sent to a basic terminal", "bytes/s", Summary.of(rates["basic"])),
    ]  # fmt: skip


def _observe(
    session: Session, server: Server, repetition: int, options: tuple[str, ...]
) -> tuple[float, float]:
    """Share of a core, and bytes a second."""
    seconds = max(5.0, _SECONDS * session.scale)
    load = load_of(server, staggered(5_000, repetition))
    generator = start_generator(Load(load.host, load.port, load.groups, _LEAD_S + seconds + 1.0))
    with _screens(server.data, options) as (pid, line):
        if not _read(line, _LEAD_S):
            raise BenchError("the screens drew nothing")
        before = processor_s(pid)
        sent = _read(line, seconds)
        spent = processor_s(pid) - before
    if not any(answer.stamps for answer in answers_of(generator)):
        raise BenchError("the server had nothing to do")
    return spent / seconds, sent / seconds


@contextlib.contextmanager
def _screens(data: Path, options: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """`appliance tui` on its own line; its process, and the end that reads its output."""
    line, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *_SIZE, 0, 0))
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            [sys.executable, "-m", "appliance", "tui", "--data", str(data), *options],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=CHECKOUT,
            env={"PATH": os.defpath, "HOME": home, "TERM": "xterm-256color", "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        os.close(theirs)
        try:
            yield process.pid, line
        finally:
            process.kill()
            process.wait()
            os.close(line)


def _read(line: int, seconds: float) -> int:
    taken, end = 0, time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([line], [], [], left)[0]:
            taken += len(os.read(line, 1 << 16))
    return taken
