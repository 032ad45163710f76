"""The wrong items of a candidate of an evaluation, the surest wrong answer first.

Rules: a split that is not open is refused, whatever the files say; inputs are those of the measured
dataset, or none; erased texts stay erased; a failure is a wrong answer in brackets.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from appliance.datasets.directory import Dataset
from appliance.errors import ApplianceError
from appliance.evals.comparing import Named, outcomes_of
from appliance.evals.outcomes import Outcome
from appliance.evals.store import read_result
from appliance.wire.admin.evaluations import Confused, Errors, WrongItem

MOST: Final = 1_000
Read: TypeAlias = Callable[[str], tuple[str, Dataset]]
"""A dataset by its id or directory: its digest, and what is in it."""


def mistakes(
    evaluations: Path, of: Named, read: Read, expected: str = "", answered: str = ""
) -> Errors:
    """List wrong items; raises as `comparing.outcomes_of`.

    Args:
        expected, answered: keep one cell, row or column of the confusion matrix.
    """
    name, outcomes, _ = outcomes_of(evaluations, *of)
    wrong = sorted((o for o in outcomes if o.wrong), key=_order)
    kept = [
        o for o in wrong
        if expected in ("", o.expected) and answered in ("", o.said)
    ]  # fmt: skip
    texts, unread = inputs(evaluations, of[0], read)
    pairs = Counter((o.expected, o.said) for o in wrong if not o.erased)
    commonest = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:MOST]
    return Errors(
        evaluation=of[0],
        candidate=name,
        split=read_result(evaluations, of[0]).split,
        items=len(outcomes),
        wrong=len(wrong),
        confused=[Confused(expected=e, answered=a, items=items) for (e, a), items in commonest],
        kept=len(kept),
        shown=[_mistake(o, texts) for o in kept[:MOST]],
        unread=unread,
    )


def inputs(evaluations: Path, number: int, read: Read) -> tuple[Mapping[str, str], str]:
    """Inputs by item, or the reason for none."""
    result = read_result(evaluations, number)
    if not result.data:
        return {}, "the evaluation was made by a version that did not name its dataset"
    try:
        digest, found = read(result.data)
    except ApplianceError as error:
        return {}, error.message
    if digest != result.digests["dataset"]:
        return {}, f"{result.data} is not what was measured any more"
    return {item.id: item.text for item in found.splits.get(result.split, ())}, ""


def _order(outcome: Outcome) -> tuple[int, int, str]:
    return outcome.micros, -(outcome.confidence_micros or 0), outcome.item


def _mistake(outcome: Outcome, texts: Mapping[str, str]) -> WrongItem:
    micros = outcome.confidence_micros
    return WrongItem.told_by(
        outcome,
        answered=outcome.said,
        confidence=None if micros is None else micros / 1e6,
        input="" if outcome.erased else texts.get(outcome.item, ""),
    )
