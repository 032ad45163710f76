"""What an answer is worth: scores of single items, and the tables that are made of them. Pure.

Rules:
- A score is between 0 and 1. A failure (a timeout, a refusal, a crash, an answer that breaks the
  form) is no answer, and no answer scores 0: it is never left out.
- Scores that a gate compares are means over items (method rule 3). `macro_f1` and the confusion
  matrix describe; no gate uses them.
- Texts are compared in Unicode form NFC.

Sources: token F1 after SQuAD (Rajpurkar et al., 2016, arXiv:1606.05250); macro-F1 as the mean
of each class's F1 (Opitz and Burst, 2019, arXiv:1911.03347).
"""

import functools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import jsonschema_rs
import numpy as np

from appliance.statistics.groups import Estimate, jackknife, mean_rows

Answer: TypeAlias = str | None
"""What a candidate answered; None where it failed."""

NO_ANSWER: Final = "(no answer)"
"""The column of failures in a confusion matrix."""
OTHER: Final = "(other)"
"""The column of answers that are no label."""

_ARTICLES: Final = re.compile(r"\b(?:a|an|the)\b")
_REFUSALS: Final = re.compile(
    r"^\W*(?:i(?:'m| am) (?:sorry|unable|not able)|sorry|i (?:cannot|can't|can not|won't)"
    r"|as an ai\b|unfortunately,? i|(?:es )?tut mir (?:sehr )?leid|leider (?:kann|darf) ich"
    r"|(?:das|dabei|dazu|hierbei|damit)? ?(?:kann|darf|werde) ich (?:ihnen |dir |dabei |das )*nicht"
    r"|ich (?:kann|darf|werde) (?:ihnen |dir |dabei |dazu |das |diese[rnm]? )*nicht)",
    re.IGNORECASE,
)


def exact_match(expected: str, answer: Answer) -> float:
    """1 where the answer is the expected text, blanks at its ends aside."""
    return float(answer is not None and _nfc(answer).strip() == _nfc(expected).strip())


def normalised_match(expected: str, answer: Answer) -> float:
    """1 where both are alike without case, punctuation, English articles and runs of blanks."""
    return float(answer is not None and normalised(answer) == normalised(expected))


def token_f1(expected: str, answer: Answer) -> float:
    """The harmonic mean of precision and recall of the normalised words."""
    if answer is None:
        return 0.0
    wanted, given = normalised(expected).split(), normalised(answer).split()
    if not wanted or not given:
        return float(wanted == given)
    common = sum((Counter(wanted) & Counter(given)).values())
    return 2 * common / (len(wanted) + len(given))


def within_tolerance(
    expected: float, answer: Answer, *, absolute: float = 0.0, relative: float = 0.0
) -> float:
    """1 where the answer is a number that differs by no more than either tolerance allows."""
    try:
        given = float(answer if answer is not None else "nan")
    except ValueError:
        return 0.0
    return float(
        math.isfinite(given) and abs(given - expected) <= max(absolute, relative * abs(expected))
    )


def pattern_match(pattern: str, answer: Answer) -> float:
    """1 where a regular expression matches the whole answer, in time linear in its length.

    Raises:
        ValueError: it is no regular expression, or one that takes more than linear time.
    """
    held = _pattern(pattern)
    return float(answer is not None and held.is_valid(answer))


@functools.lru_cache(maxsize=4_096)
def _pattern(pattern: str) -> jsonschema_rs.Draft202012Validator:
    whole = {"type": "string", "pattern": f"^(?:{pattern})$"}
    try:
        return jsonschema_rs.Draft202012Validator(
            whole, pattern_options=jsonschema_rs.RegexOptions()
        )
    except jsonschema_rs.ValidationError as error:
        raise ValueError(f"{pattern[:80]!r} is no regular expression") from error


def fields_right(expected: Mapping[str, Any], answer: Mapping[str, Any] | None) -> dict[str, float]:
    """For each expected field 1 where the answer has the same value; types must agree."""
    given: Mapping[str, Any] = answer or {}
    return {
        name: float(answer is not None and name in given and _same(value, given[name]))
        for name, value in expected.items()
    }


def field_accuracy(expected: Mapping[str, Any], answer: Mapping[str, Any] | None) -> float:
    """The share of expected fields that are right."""
    right = fields_right(expected, answer)
    return sum(right.values()) / len(right) if right else float(answer is not None)


class Schema:
    """A JSON schema, read once.

    Args:
        schema: the document.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._validator = jsonschema_rs.validator_for(dict(schema))

    def adheres(self, answer: object) -> float:
        """1 where a JSON value is one that the schema accepts."""
        return float(self._validator.is_valid(answer))


def adheres(schema: Mapping[str, Any], answer: object) -> float:
    """1 where a JSON value is one that the schema accepts."""
    return Schema(schema).adheres(answer)


def refuses(answer: Answer) -> bool:
    """Whether a text begins like a refusal. A hint for slices: words alone do not prove one."""
    return answer is not None and _REFUSALS.search(answer) is not None


def confusion(
    labels: Sequence[str], expected: Sequence[str], answers: Sequence[Answer]
) -> tuple[list[str], list[list[int]]]:
    """How often each label was answered as each other one.

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
) -> Estimate:
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


def normalised(text: str) -> str:
    """A text without case, punctuation, English articles and runs of blanks."""
    kept = "".join(
        c if unicodedata.category(c)[0] not in "PS" else " " for c in _nfc(text).casefold()
    )
    return " ".join(_ARTICLES.sub(" ", kept).split())


def _same(expected: Any, given: Any) -> bool:
    if isinstance(expected, str) and isinstance(given, str):
        return _nfc(expected).strip() == _nfc(given).strip()
    if isinstance(expected, bool) or isinstance(given, bool):
        return expected is given
    return bool(expected == given)


def _column(labels: Sequence[str], answer: Answer) -> str:
    if answer is None:
        return NO_ANSWER
    return answer if answer in labels else OTHER


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)
