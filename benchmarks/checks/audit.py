"""P6: what the audit log costs.

Two servers of ours run side by side, one with its log in memory, and take turns: only one ever
has work. So the pairs are close in time, and there can be many of them.
"""

import contextlib

from benchmarks.loads import independent
from benchmarks.measure import drive, load_of, summarise, warm_up
from benchmarks.results import Figure
from benchmarks.servers import ours
from benchmarks.session import Session
from benchmarks.statistics import Summary, bootstrap, ratios

_REQUESTS = 64
_PAIRS = 4  # per repetition


def audit(session: Session) -> list[Figure]:
    """Requests of 16 words and 16 tokens, 8 at a time; the median of the pairs' ratios."""
    count = session.count(_REQUESTS)
    rates: dict[str, list[float]] = {"audited": [], "unaudited": []}
    with contextlib.ExitStack() as stack:
        lab = session.workshop.lab(session.model)
        other = session.workshop.lab(session.model, "-unaudited")
        servers = {
            "audited": stack.enter_context(ours(lab)),
            "unaudited": stack.enter_context(ours(other, ("benchmarks.unaudited",))),
        }
        for name, server in servers.items():
            session.commands[name] = server.command
            warm_up(server)
        for pair in range(_PAIRS * session.repeat):
            asks = independent(count, pair, prompt=16, answer=16)
            for name in sorted(servers, reverse=bool(pair % 2)):
                run = summarise(name, drive(load_of(servers[name], asks)))
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
            0.99,
        )
    ]
