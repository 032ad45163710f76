"""Scores and tables that describe answers; no gate uses them. Pure.

Rule: a failure scores 0 and is never left out.

Sources: token F1 after SQuAD (Rajpurkar et al., 2016, arXiv:1606.05250); macro-F1 as the mean of
each class's F1 (Opitz and Burst, 2019, arXiv:1911.03347).
"""

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np

from appliance.statistics.groups import GroupMean, effective_size, jackknife, mean_rows
from appliance.statistics.proportions import Interval, corrected
from appliance.tasks.matching import Answer, normalised

NO_ANSWER: Final = "(no answer)"
"""The column of failures in a confusion matrix."""
OTHER: Final = "(other)"
"""The column of answers that are no label."""
_FEWEST: Final = 3
"""Groups of a label by which its F1 is known."""
_ANY: Final = 1 << 53
"""Macro-F1 may vary less than a share of so many items can."""

_REFUSALS: Final = re.compile(
    r"^\W*(?:i(?:'m| am) (?:sorry|unable|not able)|sorry|i (?:cannot|can't|can not|won't)"
    r"|as an ai\b|unfortunately,? i|(?:es )?tut mir (?:sehr )?leid|leider (?:kann|darf) ich"
    r"|(?:das|dabei|dazu|hierbei|damit)? ?(?:kann|darf|werde) ich (?:ihnen |dir |dabei |das )*nicht"
    r"|ich (?:kann|darf|werde) (?:ihnen |dir |dabei |dazu |das |diese[rnm]? )*nicht)",
    re.IGNORECASE,
)


def token_f1(expected: str, answer: Answer) -> float:
    """Harmonic mean of precision and recall of the normalised words."""
    if answer is None:
        return 0.0
    wanted, given = normalised(expected).split(), normalised(answer).split()
    if not wanted or not given:
        return float(wanted == given)
    common = sum((Counter(wanted) & Counter(given)).values())
    return 2 * common / (len(wanted) + len(given))


def refuses(answer: Answer) -> bool:
    """True if a text begins like a refusal: a hint for slices, no proof."""
    return answer is not None and _REFUSALS.search(answer) is not None


def confusion(
    labels: Sequence[str], expected: Sequence[str], answers: Sequence[Answer]
) -> tuple[list[str], list[list[int]]]:
    """Count each label's answers.

    Returns:
        The columns: the labels, then `OTHER` and `NO_ANSWER` where these occur; and a row of counts
        for each label.
    """
    given = [_column(labels, answer) for answer in answers]
    columns = [*labels, *(name for name in (OTHER, NO_ANSWER) if name in given)]
    counts = Counter(zip(expected, given, strict=True))
    return columns, [[counts[row, column] for column in columns] for row in labels]


def macro_f1(
    labels: Sequence[str],
    expected: Sequence[str],
    answers: Sequence[Answer],
    groups: Sequence[Hashable],
) -> GroupMean:
    """Of labels expected or answered; groups weigh the same.

    The spread is the jackknife's, the interval Wilson's, corrected, at the size that has it. At 50
    groups the jackknife's own misses in up to 25 %, this one in 5 %
    (`tests/evals/test_metrics.py`). The F1 of a label that fewer than three groups have may be
    anything.
    """
    told = np.array([[answer == label for label in labels] for answer in answers])
    wanted = np.array([[one == label for label in labels] for one in expected])
    rows = mean_rows(np.hstack([told & wanted, told, wanted]), groups)
    whole, known = jackknife(_macro_f1, rows), (mean_rows(wanted, groups) > 0).sum(0) >= _FEWEST
    share = known.sum() / max(1, (told | wanted).any(0).sum())
    found = jackknife(_macro_f1, rows[:, np.tile(known, 3)])
    size = effective_size(found, _ANY)
    low, high = corrected(min(found.value * size, size), size)
    return whole._replace(interval=Interval(float(share * low), float(share * high + 1 - share)))


def _macro_f1(sums: np.ndarray) -> np.ndarray:
    right, told, wanted = np.split(sums, 3, axis=1)
    occurs = told + wanted > 1e-9
    each = np.where(occurs, 2 * right / np.where(occurs, told + wanted, 1), 0)
    mean: np.ndarray = each.sum(1) / np.maximum(occurs.sum(1), 1)
    return mean


def _column(labels: Sequence[str], answer: Answer) -> str:
    if answer is None:
        return NO_ANSWER
    return answer if answer in labels else OTHER
