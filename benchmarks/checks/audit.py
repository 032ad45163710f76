"""P6: what the audit log costs, with a model and with one that computes nothing.

Two servers of ours run side by side, one with its log in memory, and take turns: only one ever
has work. So the pairs are close in time, and there can be many of them.
"""

import contextlib
from dataclasses import dataclass
from typing import Final

from benchmarks.loads import independent
from benchmarks.measure import drive, load_of, summarise, warm_up
from benchmarks.results import Figure
from benchmarks.servers import SLOTS, ours
from benchmarks.session import Session
from benchmarks.statistics import Summary, bootstrap, ratios

_PAIRS: Final = 4  # per repetition
_NULL_SLOTS: Final = 64


@dataclass(frozen=True)
class _Load:
    """Requests of 16 words and 16 tokens.

    Attributes:
        at_once: clients, and slots of the server.
        audited, unaudited: modules and arguments of the two servers.
    """

    requests: int
    at_once: int
    audited: tuple[str, ...]
    unaudited: tuple[str, ...]
    target: float


def audit(session: Session) -> list[Figure]:
    """8 requests at a time; the median of the pairs' ratios."""
    without = ("benchmarks.ablated", "--no-log")
    return _compared(session, _Load(64, SLOTS, ("appliance", "serve"), without, 0.99))


def audit_alone(session: Session) -> list[Figure]:
    """64 requests at a time, without the model's own time."""
    program = ("benchmarks.ablated", "--no-model")
    return _compared(session, _Load(768, _NULL_SLOTS, program, (*program, "--no-log"), 0.90))


def _compared(session: Session, load: _Load) -> list[Figure]:
    count = session.count(load.requests)
    rates: dict[str, list[float]] = {"audited": [], "unaudited": []}
    with contextlib.ExitStack() as stack:
        servers = {}
        for name, program in (("audited", load.audited), ("unaudited", load.unaudited)):
            lab = session.workshop.lab(session.model, f"-{name}", slots=load.at_once)
            servers[name] = stack.enter_context(ours(lab, program))
        for name, server in servers.items():
            session.commands[name] = server.command
            warm_up(server)
        for pair in range(_PAIRS * session.repeat):
            asks = independent(count, pair, prompt=16, answer=16)
            for name in sorted(servers, reverse=bool(pair % 2)):
                answers = drive(load_of(servers[name], asks, concurrency=load.at_once))
                run = summarise(name, answers)
                session.record(pair, "short", run)
                rates[name].append(run.requests_s)
    interval = bootstrap(ratios(rates["audited"], rates["unaudited"]))
    session.notes.append("spread: 95 % bootstrap interval of the median")
    return [
        Figure(
            "requests per second, audited / log in memory",
            "requests/s",
            interval,
            Summary.of(rates["audited"]),
            Summary.of(rates["unaudited"]),
            "≥",
            load.target,
        )
    ]
