"""Readers of a dataset's items: the evaluations and gates that asked or learned from them.

Rules: an item was learned if a baseline or classifier could learn from it. An evaluation that
cannot be read may have seen everything. An evaluation of another dataset with the same id is
reported, too, with its name, and a person decides.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from appliance.errors import ApplianceError, EvaluationRefused
from appliance.evals.outcomes import parse
from appliance.host import at_rest
from appliance.trust.statements.specification import Specification

_MOST: Final = 1 << 30
"""Bytes of outcomes that are read; an evaluation with more is reported as unreadable."""
REPLAY: Final = "replay.json"
"""The file of a gate's open items, in its directory: digests of answers by item."""


class Seen(NamedTuple):
    """An evaluation that saw an item.

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
    params_of: Callable[[int], str | None],
    ids: Iterable[str],
    data: str,
    trained: Iterable[str],
    train_of: Callable[[str], frozenset[str] | None],
) -> list[Seen]:
    """By item and evaluation.

    Args:
        params_of: parameters of an evaluation or gate as JSON, None where they are lost.
        data: the directory of the dataset.
        trained: the ids that are in its split `train`.
        train_of: ids in the split `train` of a stored dataset; None if it cannot be read.
    """
    wanted, here = set(ids), set(trained)
    found: list[Seen] = []
    for number, directory in _directories(evaluations):
        task, source = _names(params_of(number) or "{}")
        try:
            asked = _asked(directory) & wanted
        except (EvaluationRefused, OSError, ValueError):
            found += [Seen(item, number, "unknown", task, source) for item in wanted]
            continue
        found += [Seen(item, number, "asked", task, source) for item in asked]
        learned: set[str] | frozenset[str] | None = set()
        if source == data:
            learned = here
        elif source and "/" not in source:
            learned = train_of(source)
        how = "unknown" if learned is None else "learned"
        saw = wanted if learned is None else wanted & learned
        found += [Seen(item, number, how, task, source) for item in saw]
    return sorted(set(found))


class _Named(msgspec.Struct):
    task: str = ""
    data: str = ""
    specification: str = ""


def _names(params: str) -> tuple[str, str]:
    try:
        given = msgspec.json.decode(params, type=_Named)
        if not given.specification:
            return given.task, given.data
        terms = Specification.open(given.specification.encode()).said
    except (ApplianceError, msgspec.MsgspecError):
        return "", ""
    return terms.task, terms.dataset


def _directories(evaluations: Path) -> Iterator[tuple[int, Path]]:
    if evaluations.is_dir():
        for path in evaluations.iterdir():
            if path.name.isascii() and path.name.isdigit() and path.is_dir():
                yield int(path.name), path


def _asked(directory: Path) -> set[str]:
    """The items of all outcomes; a line that a crash cut short is none."""
    files = sorted(directory.glob("*.jsonl"))
    if sum(path.stat().st_size for path in files) > _MOST:
        raise EvaluationRefused("outcomes_invalid", "There are too many outcomes to read.")
    asked = {parse(line).item for path in files for line in at_rest.read_lines(path)}
    replay = directory / REPLAY
    return asked | set(json.loads(at_rest.read(replay))) if replay.exists() else asked
