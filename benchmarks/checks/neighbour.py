"""P7: a busy loop on one core, started and ended in the middle of a load."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from benchmarks.loads import Load, staggered
from benchmarks.machine import CHECKOUT
from benchmarks.measure import answers_of, load_of, start_generator
from benchmarks.results import Figure
from benchmarks.servers import BenchError, Server
from benchmarks.session import SIDES, Session
from benchmarks.statistics import Summary, ratios
from benchmarks.timeline import arrivals, rate, windows
from installer.bundle.steps import say

_LEAD_S = 4.0  # until the load is in full swing
_QUIET_S = 5.0
_BUSY_S = 7.0
_NOTICE_S = 2.0  # what a server has to notice the neighbour
_RETURN_S = 10.0  # and to notice that it has gone
_AFTER_S = 4.0


@dataclass(frozen=True)
class Shares:
    """Tokens per second: quiet, beside the neighbour, and after it."""

    quiet: float
    beside: float
    after: float


def neighbour(session: Session) -> list[Figure]:
    """`indep`, 8 at a time, not in waves; the loop sits on the first core."""
    found: dict[str, list[Shares]] = {side: [] for side in SIDES}
    for repetition in range(session.repeat):
        for side in SIDES:
            with session.serving(side) as server:
                found[side].append(_observe(session, server, repetition))
    kept, theirs = found["ours"], found["peer"]
    beside = [s.beside for s in kept], [s.beside for s in theirs]
    return [
        Figure(
            "kept share of quiet throughput, from 2 s after its start",
            "",
            Summary.of([s.beside / s.quiet for s in kept]),
            Summary.of([s.beside / s.quiet for s in kept]),
            Summary.of([s.beside / s.quiet for s in theirs]),
            "≥",
            0.6,
        ),
        Figure(
            "generated tokens per second beside the neighbour",
            "tok/s",
            Summary.of(ratios(*beside)),
            Summary.of(beside[0]),
            Summary.of(beside[1]),
            "≥",
            3.5,
        ),
        Figure(
            "share of quiet throughput from 10 s after its end",
            "",
            Summary.of([s.after / s.quiet for s in kept]),
            relation="≥",
            target=0.95,
        ),
    ]


def _observe(session: Session, server: Server, repetition: int) -> Shares:
    """The peer's recovery is not waited for."""
    mine = server.side == "ours"
    tail = _RETURN_S + _AFTER_S if mine else 1.0
    load = load_of(server, staggered(2000, repetition))
    seconds = _LEAD_S + _QUIET_S + _BUSY_S + tail + 1.0
    process = start_generator(Load(load.host, load.port, load.groups, seconds))
    time.sleep(_LEAD_S + _QUIET_S)
    with _busy_loop():
        started = time.monotonic()
        time.sleep(_BUSY_S)
    ended = time.monotonic()
    moments = arrivals(answers_of(process))
    shares = Shares(
        quiet=rate(moments, started - _QUIET_S, started),
        beside=rate(moments, started + _NOTICE_S, ended),
        after=rate(moments, ended + _RETURN_S, ended + _RETURN_S + _AFTER_S) if mine else 0.0,
    )
    if not shares.quiet:
        raise BenchError(f"{server.side} gave no token in {_QUIET_S:g} quiet seconds")
    say(
        f"  neighbour {repetition + 1} {server.side}: {shares.quiet:.0f} tok/s quiet, "
        f"{shares.beside:.1f} beside it" + (f", {shares.after:.0f} after it" if mine else "")
    )
    session.runs.append(
        {
            "repetition": repetition,
            "side": server.side,
            "busy_from_s": _QUIET_S,
            "busy_to_s": _QUIET_S + ended - started,
            "tokens_s_per_250_ms": windows(moments, started - _QUIET_S, ended + tail),
            **msgspec.to_builtins(shares),
        }
    )
    return shares


@contextmanager
def _busy_loop() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.busy", "0"], cwd=CHECKOUT)
    try:
        yield
    finally:
        process.kill()
        process.wait()
