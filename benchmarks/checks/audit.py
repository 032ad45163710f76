"""P6: the cost of the audit log, with a model and with a null model, and of sending it on.

The sides take turns, so that the pairs are close in time: as long as the interval is wide.
"""

import contextlib
import multiprocessing
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.loads import independent
from benchmarks.machine import alone_s, processor_s
from benchmarks.measure import drive, load_of, summarise, warm_up
from benchmarks.results import Figure
from benchmarks.servers import SLOTS, BenchError, Server, ours
from benchmarks.session import Session
from benchmarks.statistics import Summary, bootstrap, ratios

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess
    from multiprocessing.sharedctypes import Synchronized

_FEWEST: Final = 16
_PAIRS: Final = 20  # per repetition, at most
_SETTLED_S: Final = 1.5  # a forwarder looks once a second
_LONGEST_S: Final = 90.0
_NULL_SLOTS: Final = 64
_SHIPPED: Final = ("appliance", "serve")
_LOGGED: Final = "requests per second, audited / log in memory"


@dataclass(frozen=True)
class _Load:
    """Requests of 16 words and 16 tokens.

    Attributes:
        sides: the two servers, each with its module and arguments.
        what: is compared.
        most: what the front may cost more on the first side, as a part of the second's time.
        narrow: distance of the interval's ends from the median that is near enough.
    """

    requests: int
    at_once: int
    sides: Mapping[str, tuple[str, ...]]
    what: str
    target: float
    most: float | None = None
    narrow: float = 0.02


def audit(session: Session) -> list[Figure]:
    """8 requests at a time; the median of the pairs' ratios."""
    sides = {"audited": _SHIPPED, "unaudited": ("benchmarks.ablated", "--no-log")}
    return _compared(session, _Load(320, SLOTS, sides, _LOGGED, 0.99))


def audit_alone(session: Session) -> list[Figure]:
    """64 requests at a time, without the model's own time."""
    program = ("benchmarks.ablated", "--no-model")
    sides = {"audited": program, "unaudited": (*program, "--no-log")}
    return _compared(session, _Load(5_120, _NULL_SLOTS, sides, _LOGGED, 0.90))


def forwarded(session: Session) -> list[Figure]:
    """8 requests at a time to one server, whose receiver takes the log, as OCSF, or is away.

    Two servers of one kind differ by more than the target. Before each run, of either side, the
    receiver gets what waits for it, so that both begin alike. Runs are short, so that both sides of
    a pair meet the same machine.
    """
    receiver = _Receiver()
    what = "requests per second, log forwarded / receiver away"
    load = _Load(80, SLOTS, {}, what, 0.99, 0.01, 0.01)
    lab = session.workshop.lab(session.model, "-forwarded", slots=SLOTS)
    with (lab.data / "appliance.toml").open("a") as config:
        to = f"tcp://127.0.0.1:{receiver.port}"
        config.write(f'\n[forward.siem]\nto = "{to}"\noverlap_seconds = 1\n')
    with ours(lab, _SHIPPED) as server, contextlib.closing(receiver):
        session.commands["server"] = server.command
        warm_up(server)

        def prepare(side: str) -> Server:
            receiver.open()
            if side == "away":
                receiver.close()
            return server

        figures = _in_turn(session, load, ("forwarded", "away"), prepare)
    session.notes.append(f"the receiver got {receiver.taken} bytes")
    return figures


class _Receiver:
    """A process that takes what is sent to a port, while it is open."""

    def __init__(self) -> None:
        self._processes = multiprocessing.get_context("spawn")
        self._taken: Synchronized[int] = self._processes.Value("Q", 0)
        self._process: SpawnProcess | None = None
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port: int = found.getsockname()[1]

    @property
    def taken(self) -> int:
        """Bytes."""
        return self._taken.value

    def open(self) -> None:
        """Wait until all is sent."""
        opened = self._process is None
        if self._process is None:
            arguments = self.port, self._taken
            self._process = self._processes.Process(target=_take, args=arguments, daemon=True)
            self._process.start()
        begun = last = time.monotonic()
        first = taken = self.taken
        while (opened and taken == first) or time.monotonic() - last < _SETTLED_S:
            if time.monotonic() - begun > _LONGEST_S:
                raise BenchError("the receiver gets nothing")
            time.sleep(0.1)
            if taken != self.taken:
                taken, last = self.taken, time.monotonic()

    def close(self) -> None:
        """Reset the connection, refuse others."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def _take(port: int, taken: "Synchronized[int]") -> None:
    buffer = bytearray(1 << 20)
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            connection, _ = listener.accept()
            while count := connection.recv_into(buffer):
                taken.value += count


def _narrow(found: Summary, enough: float) -> bool:
    return max(found.high - found.median, found.median - found.low) <= enough


def _compared(session: Session, load: _Load) -> list[Figure]:
    with contextlib.ExitStack() as stack:
        servers = {}
        for name, program in load.sides.items():
            lab = session.workshop.lab(session.model, f"-{name}", slots=load.at_once)
            servers[name] = stack.enter_context(ours(lab, program))
        for name, server in servers.items():
            session.commands[name] = server.command
            warm_up(server)
        return _in_turn(session, load, tuple(servers), servers.__getitem__)


def _in_turn(
    session: Session, load: _Load, sides: Sequence[str], prepare: Callable[[str], Server]
) -> list[Figure]:
    """Both sides in turn; `prepare` gives the server of a side, ready."""
    count = session.count(load.requests)
    rates: dict[str, list[float]] = {name: [] for name in sides}
    first, second = rates
    front: dict[str, list[float]] = {name: [] for name in sides}
    whole: dict[str, list[float]] = {name: [] for name in sides}
    for pair in range(session.count(_PAIRS) * session.repeat):
        asks = independent(count, pair, prompt=16, answer=16)
        for name in sorted(sides, reverse=bool(pair % 2)):
            server = prepare(name)
            pid = server.process.pid
            before = alone_s(pid), processor_s(pid)
            answers = drive(load_of(server, asks, concurrency=load.at_once))
            front[name].append((alone_s(pid) - before[0]) / count)
            whole[name].append((processor_s(pid) - before[1]) / count)
            run = summarise(name, answers)
            session.record(pair, "short", run)
            rates[name].append(run.requests_s)
        ratio = bootstrap(ratios(rates[first], rates[second]))
        if pair + 1 >= _FEWEST and _narrow(ratio, load.narrow):
            break
    found = ratios(rates[first], rates[second])
    session.notes.append(f"spread: 95 % bootstrap interval of the median of {len(found)} pairs")
    more = [
        (one - other) / of
        for one, other, of in zip(front[first], front[second], whole[second], strict=True)
    ]
    return [
        Figure(
            load.what,
            "requests/s",
            bootstrap(found),
            Summary.of(rates[first]),
            Summary.of(rates[second]),
            "≥",
            load.target,
        ),
        Figure(
            f"processor time of the front for an answer, {first} less {second}, of the server's",
            "ms",
            bootstrap(more),
            Summary.of([1000 * one for one in front[first]]),
            Summary.of([1000 * one for one in front[second]]),
            "" if load.most is None else "≤",
            load.most or 0.0,
        ),
    ]
