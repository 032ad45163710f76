"""Compares a value with the expected one: texts, numbers, patterns, fields. Pure.

Rules: texts are compared in Unicode form NFC, without blanks at their ends; types must agree.
"""

import functools
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

import jsonschema_rs
from msgspec import Meta, Struct

from appliance.types import JsonValue

Answer: TypeAlias = str | None
"""A candidate's answer; None where it failed."""
WHOLE: Final = "text"
"""The key of `compare` for an answer of the form `text`."""
_ARTICLES: Final = re.compile(r"\b(?:a|an|the)\b")


class Compare(Struct, frozen=True, forbid_unknown_fields=True):
    """The rule by which another value than the expected one is right.

    Attributes:
        match: `same`; `normalised`: case, punctuation and blanks aside; `pattern`: the expected
            text is a regular expression that the whole answer must match.
        absolute, relative: most that a number may differ, and as a share of the expected one.
    """

    match: Literal["same", "normalised", "pattern"] = "same"
    absolute: Annotated[float, Meta(ge=0)] = 0.0
    relative: Annotated[float, Meta(ge=0, le=1)] = 0.0

    def right(self, expected: Any, answer: Any) -> float:
        if isinstance(expected, bool) or isinstance(answer, bool):
            return float(expected is answer)
        if isinstance(expected, int | float) and isinstance(answer, int | float):
            return self._near(expected, str(answer))
        if not isinstance(expected, str) or not isinstance(answer, str):
            return 0.0
        if self.match == "pattern":
            return pattern(expected, answer)
        if self.match == "normalised":
            return alike(expected, answer)
        if self.absolute or self.relative:
            try:
                return self._near(float(expected), answer)
            except ValueError:
                return same(expected, answer)
        return same(expected, answer)

    def _near(self, expected: float, answer: str) -> float:
        return near(expected, answer, absolute=self.absolute, relative=self.relative)


def same(expected: str, answer: Answer) -> float:
    """1 or 0; blanks at the ends aside."""
    return float(answer is not None and nfc(answer).strip() == nfc(expected).strip())


def alike(expected: str, answer: Answer) -> float:
    """1 or 0; as `normalised`."""
    return float(answer is not None and normalised(answer) == normalised(expected))


def near(expected: float, answer: Answer, *, absolute: float = 0.0, relative: float = 0.0) -> float:
    """1 where the answer is a number within either tolerance."""
    try:
        given = float(answer if answer is not None else "nan")
    except ValueError:
        return 0.0
    return float(
        math.isfinite(given) and abs(given - expected) <= max(absolute, relative * abs(expected))
    )


def pattern(expected: str, answer: Answer) -> float:
    """1 where a regular expression matches the whole answer, in time linear in its length.

    Raises:
        ValueError: no regular expression, or more than linear time.
    """
    held = _pattern(expected)
    return float(answer is not None and held.is_valid(answer))


@functools.lru_cache(maxsize=4_096)
def _pattern(expected: str) -> jsonschema_rs.Draft202012Validator:
    whole = {"type": "string", "pattern": f"^(?:{expected})$"}
    try:
        return jsonschema_rs.Draft202012Validator(
            whole, pattern_options=jsonschema_rs.RegexOptions()
        )
    except jsonschema_rs.ValidationError as error:
        raise ValueError(f"{expected[:80]!r} is no regular expression") from error


def fields_right(
    expected: Mapping[str, JsonValue],
    answer: Mapping[str, JsonValue] | None,
    compare: Mapping[str, Compare],
) -> dict[str, float]:
    """1 for each expected field whose value is right."""
    given: Mapping[str, JsonValue] = answer or {}
    right = {
        name: float(answer is not None and name in given and _same(value, given[name]))
        for name, value in expected.items()
    }
    for name, rule in compare.items():
        if name in right and name in given:
            right[name] = max(right[name], rule.right(expected[name], given[name]))
    return right


def object_of(answer: Answer) -> dict[str, JsonValue] | None:
    """The answer's JSON object; None where it is none."""
    try:
        value = json.loads(answer or "")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def normalised(text: str) -> str:
    """A text without case, punctuation, English articles and runs of blanks."""
    kept = "".join(
        c if unicodedata.category(c)[0] not in "PS" else " " for c in nfc(text).casefold()
    )
    return " ".join(_ARTICLES.sub(" ", kept).split())


def nfc(text: str) -> str:
    """A text in Unicode form NFC."""
    return unicodedata.normalize("NFC", text)


def _same(expected: Any, given: Any) -> bool:
    if isinstance(expected, str) and isinstance(given, str):
        return bool(same(expected, given))
    if isinstance(expected, bool) or isinstance(given, bool):
        return expected is given
    return bool(expected == given)
