"""P4: schema-constrained documents, bare and behind a task's prompt."""

from benchmarks.loads import documents
from benchmarks.measure import Run
from benchmarks.results import Figure
from benchmarks.session import SIDES, Session, compare
from benchmarks.statistics import Summary

_REQUESTS = 16
_GRAMMAR = "peer with GBNF"


def json_documents(session: Session) -> list[Figure]:
    """P4, `json`: both sides with the schema, and the peer with a compact grammar by hand."""
    count = session.count(_REQUESTS)
    runs = session.alternate(
        lambda repetition, side: documents(count, repetition, task=False, grammar=side == _GRAMMAR),
        "json",
        (*SIDES, _GRAMMAR),
    )
    return [
        _rate(runs, "peer", 6.0),
        _rate(runs, _GRAMMAR, 2.0),
        *_validity(runs, count),
        compare("generated tokens, all documents together", "tokens", "completion_tokens", runs),
    ]


def task_documents(session: Session) -> list[Figure]:
    """P4, `task`: the same behind 1,000 words in common."""
    count = session.count(_REQUESTS)
    runs = session.alternate(lambda repetition, _: documents(count, repetition, task=True), "task")
    return [_rate(runs, "peer", 14.0), *_validity(runs, count)]


def _rate(runs: dict[str, list[Run]], other: str, target: float) -> Figure:
    name = f"valid documents per second, ours / {other}"
    return compare(
        name, "documents/s", "documents_s", runs, other=other, relation="≥", target=target
    )


def _validity(runs: dict[str, list[Run]], count: int) -> list[Figure]:
    figures = []
    for side, measured in runs.items():
        share = Summary.of([run.requests / count for run in measured])
        figures.append(
            Figure(f"valid documents of {side}", "", share, relation="≥", target=1.0)
            if side == "ours"
            else Figure(f"valid documents of {side}", "", share)
        )
    return figures
