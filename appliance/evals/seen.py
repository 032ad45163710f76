"""What saw items of a dataset: the evaluations that asked or learned from them.

Rules: asked is what the outcomes say, learned what its baselines could learn from, in the same
directory; ids belong to a dataset, so an evaluation of another directory that has the same id is
told, too, with its directory, and a person decides.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from appliance.errors import EvaluationRefused
from appliance.evals.outcomes import parse

_MOST: Final = 1 << 30
"""Bytes of outcomes that are read; an evaluation with more is told as unreadable."""


class Seen(NamedTuple):
    """One evaluation that saw an item.

    Attributes:
        how: "asked", "learned", or "unknown" where its outcomes cannot be read.
    """

    item: str
    evaluation: int
    how: str
    task: str
    data: str


def seen(
    evaluations: Path,
    params_of: Callable[[int], Mapping[str, Any] | None],
    ids: Iterable[str],
    data: str,
    trained: Iterable[str],
) -> list[Seen]:
    """The evaluations that saw items, by item and evaluation.

    Args:
        evaluations: `DATA/evaluations`.
        params_of: the parameters of an evaluation, None where nobody knows them any more.
        data: the directory of the dataset.
        trained: those of the ids that lie in its split `train`.
    """
    wanted, learned = set(ids), set(trained)
    found: list[Seen] = []
    for number, directory in _directories(evaluations):
        params = params_of(number) or {}
        task, source = str(params.get("task", "")), str(params.get("data", ""))
        try:
            asked = _asked(directory) & wanted
        except (EvaluationRefused, OSError):
            found += [Seen(item, number, "unknown", task, source) for item in wanted]
            continue
        found += [Seen(item, number, "asked", task, source) for item in asked]
        if source == data:
            found += [Seen(item, number, "learned", task, source) for item in learned & wanted]
    return sorted(set(found))


def _directories(evaluations: Path) -> Iterator[tuple[int, Path]]:
    if evaluations.is_dir():
        for path in evaluations.iterdir():
            if path.name.isascii() and path.name.isdigit() and path.is_dir():
                yield int(path.name), path


def _asked(directory: Path) -> set[str]:
    """The items of all outcomes of an evaluation; a line that a crash cut short is none."""
    files = sorted(directory.glob("*.jsonl"))
    if sum(path.stat().st_size for path in files) > _MOST:
        raise EvaluationRefused("outcomes_invalid", "There are too many outcomes to read.")
    return {
        parse(line).item for path in files for line in path.read_bytes().split(b"\n")[:-1] if line
    }
