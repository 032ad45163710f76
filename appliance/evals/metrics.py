"""Scores and tables that describe answers; no gate uses them. Pure.

Rule: a failure (a timeout, a refusal, a crash, an answer that breaks the form) is no answer, and no
answer scores 0: it is never left out.

Sources: token F1 after SQuAD (Rajpurkar et al., 2016, arXiv:1606.05250); macro-F1 as the mean
of each class's F1 (Opitz and Burst, 2019, arXiv:1911.03347).
"""

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np

from appliance.statistics.groups import GroupMean, jackknife, mean_rows
from appliance.tasks.matching import Answer, normalised

NO_ANSWER: Final = "(no answer)"
"""The column of failures in a confusion matrix."""
OTHER: Final = "(other)"
"""The column of answers that are no label."""

_REFUSALS: Final = re.compile(
    r"^\W*(?:i(?:'m| am) (?:sorry|unable|not able)|sorry|i (?:cannot|can't|can not|won't)"
    r"|as an ai\b|unfortunately,? i|(?:es )?tut mir (?:sehr )?leid|leider (?:kann|darf) ich"
    r"|(?:das|dabei|dazu|hierbei|damit)? ?(?:kann|darf|werde) ich (?:ihnen |dir |dabei |das )*nicht"
    r"|ich (?:kann|darf|werde) (?:ihnen |dir |dabei |dazu |das |diese[rnm]? )*nicht)",
    re.IGNORECASE,
)


def token_f1(expected: str, answer: Answer) -> float:
    """The harmonic mean of precision and recall of the normalised words."""
    if answer is None:
        return 0.0
    wanted, given = normalised(expected).split(), normalised(answer).split()
    if not wanted or not given:
        return float(wanted == given)
    common = sum((Counter(wanted) & Counter(given)).values())
    return 2 * common / (len(wanted) + len(given))


def refuses(answer: Answer) -> bool:
    """True if a text begins like a refusal. A hint for slices: words alone do not prove one."""
    return answer is not None and _REFUSALS.search(answer) is not None


def confusion(
    labels: Sequence[str], expected: Sequence[str], answers: Sequence[Answer]
) -> tuple[list[str], list[list[int]]]:
    """Count how often each label was answered as each other one.

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
    """The mean of the F1 of each label that is expected or answered; each group weighs the same."""
    told = np.array([[answer == label for label in labels] for answer in answers])
    wanted = np.array([[one == label for label in labels] for one in expected])
    return jackknife(_macro_f1, mean_rows(np.hstack([told & wanted, told, wanted]), groups))


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
