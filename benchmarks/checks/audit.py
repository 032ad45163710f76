"""P6: the cost of the audit log, with a model and with a null model, and of sending it on.

Two servers of ours run side by side and take turns, so that the pairs are close in time: as long as
the interval is wide.
"""

import contextlib
import socketserver
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.loads import independent
from benchmarks.measure import drive, load_of, summarise, warm_up
from benchmarks.results import Figure
from benchmarks.servers import SLOTS, BenchError, ours
from benchmarks.session import Session
from benchmarks.statistics import Summary, bootstrap, ratios

_FEWEST: Final = 16
_PAIRS: Final = 20  # per repetition, at most
_NARROW: Final = 0.02
"""Distance of the interval's ends from the median that is near enough."""
_NULL_SLOTS: Final = 64
_SHIPPED: Final = ("appliance", "serve")
_LOGGED: Final = "requests per second, audited / log in memory"


@dataclass(frozen=True)
class _Load:
    """Requests of 16 words and 16 tokens.

    Attributes:
        sides: the two servers, each with its module and arguments.
        what: is compared.
        config: for the first server's `appliance.toml`.
    """

    requests: int  # of ten seconds or so
    at_once: int
    sides: Mapping[str, tuple[str, ...]]
    what: str
    target: float
    config: str = ""


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
    """8 requests at a time; the first server's log goes to a receiver on this host, as OCSF."""
    with _receiver() as (port, taken):
        what = "requests per second, log forwarded / kept"
        config = f'\n[forward.siem]\nto = "tcp://127.0.0.1:{port}"\n'
        sides = {"forwarded": _SHIPPED, "kept": _SHIPPED}
        figures = _compared(session, _Load(320, SLOTS, sides, what, 0.99, config))
    if not taken:
        raise BenchError("the receiver got nothing")
    session.notes.append(f"the receiver got {sum(taken)} bytes")
    return figures


@contextlib.contextmanager
def _receiver() -> Iterator[tuple[int, list[int]]]:
    """Its port, and how many bytes came at a time."""
    taken: list[int] = []

    class Sink(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while data := self.request.recv(1 << 16):
                taken.append(len(data))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Sink) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], taken
        finally:
            server.shutdown()
            thread.join()


def _narrow(found: Summary) -> bool:
    return max(found.high - found.median, found.median - found.low) <= _NARROW


def _compared(session: Session, load: _Load) -> list[Figure]:
    count = session.count(load.requests)
    rates: dict[str, list[float]] = {name: [] for name in load.sides}
    first, second = rates
    with contextlib.ExitStack() as stack:
        servers = {}
        for name, program in load.sides.items():
            lab = session.workshop.lab(session.model, f"-{name}", slots=load.at_once)
            if name == first and load.config:
                with (lab.data / "appliance.toml").open("a") as config:
                    config.write(load.config)
            servers[name] = stack.enter_context(ours(lab, program))
        for name, server in servers.items():
            session.commands[name] = server.command
            warm_up(server)
        for pair in range(session.count(_PAIRS) * session.repeat):
            asks = independent(count, pair, prompt=16, answer=16)
            for name in sorted(servers, reverse=bool(pair % 2)):
                answers = drive(load_of(servers[name], asks, concurrency=load.at_once))
                run = summarise(name, answers)
                session.record(pair, "short", run)
                rates[name].append(run.requests_s)
            if pair + 1 >= _FEWEST and _narrow(bootstrap(ratios(rates[first], rates[second]))):
                break
    found = ratios(rates[first], rates[second])
    session.notes.append(f"spread: 95 % bootstrap interval of the median of {len(found)} pairs")
    return [
        Figure(
            load.what,
            "requests/s",
            bootstrap(found),
            Summary.of(rates[first]),
            Summary.of(rates[second]),
            "≥",
            load.target,
        )
    ]
