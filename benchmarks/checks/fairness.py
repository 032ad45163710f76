"""P9: one app that asks one question at a time, beside another that floods the server."""

from benchmarks.generator import Answer
from benchmarks.loads import Group, Load, independent
from benchmarks.measure import drive
from benchmarks.results import Figure
from benchmarks.servers import Server
from benchmarks.session import Session
from benchmarks.statistics import Summary, quantile, ratios
from installer.bundle.steps import say

_REQUESTS = 20
_FLOOD = 64
_MANY = 1_000_000  # a number of a run that no repetition has


def fair(session: Session) -> list[Figure]:
    """App B alone, then beside 64 requests of app A."""
    p95: dict[str, list[float]] = {"alone": [], "beside": []}
    for repetition in range(session.repeat):
        with session.serving("ours") as server:
            for name, found in p95.items():
                answers = _ask(session, server, repetition, flood=name == "beside")
                found.append(quantile([a.seconds * 1000 for a in answers], 0.95))
                figures = {"repetition": repetition, "b": name, "latency_p95": found[-1]}
                session.runs.append(figures)
                say(f"  fair {repetition + 1}: B {name} p95 {found[-1]:.0f} ms")
    return [
        Figure(
            "B's p95 latency beside A's 64 requests / alone",
            "ms",
            Summary.of(ratios(p95["beside"], p95["alone"])),
            Summary.of(p95["beside"]),
            Summary.of(p95["alone"]),
            "≤",
            2.0,
        )
    ]


def _ask(session: Session, server: Server, repetition: int, *, flood: bool) -> list[Answer]:
    """B's answers; complete ones only."""
    keys = server.keys or [server.key, server.key]
    asks = independent(session.count(_REQUESTS), repetition, answer=16)
    groups = [Group("B", keys[1], asks, 1)]
    if flood:
        groups.append(Group("A", keys[0], independent(2 * _FLOOD, _MANY), _FLOOD, background=True))
    answers = drive(Load("127.0.0.1", server.port, groups))
    return [a for a in answers if a.group == "B" and not a.error]
