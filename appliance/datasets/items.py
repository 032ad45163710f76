"""One labelled example, and its line of JSON.

Rules: `id` and `group` are mandatory short texts without control characters; `input` has at least
one named field; `expected` is a label, a number, or named fields; sizes are bounded; unknown
content is refused.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from appliance.errors import ApplianceError, DatasetRefused
from appliance.text import visible
from appliance.trust.bytes import strict_json

Scalar: TypeAlias = str | int | float | bool | None
Expected: TypeAlias = Scalar | Mapping[str, Any]

MAX_LINE: Final = 4 << 20
MAX_INPUT: Final = 1 << 20
"""Bytes of an item's input, and of its expected answer."""
MAX_FIELDS: Final = 256
_MAX_NAME: Final = 256
_TIME: Final = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
    r"([T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?"
)
_KNOWN: Final = {
    "id", "group", "input", "expected", "time", "stratum", "split", "relevant", "teacher",
}  # fmt: skip
MOST_RELEVANT: Final = 1_000
MOST_GAIN: Final = 100
MOST_DOCUMENT_NAME: Final = 400


@dataclass(frozen=True)
class Item:
    """One example.

    Attributes:
        group: the unit that is sampled from the claimed population: a document, a customer, an
            asset and day.
        expected: the right answer; None if unlabelled.
        time: ISO 8601, a date or a moment; texts of one form sort by time.
        stratum: fixed and not sampled, such as one of the only three machines.
        split: given by the source.
        relevant: documents of a collection that answer it, each with its gain; None if unknown.
        teacher: digest of the model that answered, or the identity of an engine elsewhere; None for
            a person's answer.
    """

    id: str
    group: str
    input: Mapping[str, Scalar]
    expected: Expected = None
    time: str | None = None
    stratum: str | None = None
    split: str | None = None
    relevant: Mapping[str, int] | None = None
    teacher: str | None = None

    @property
    def labelled(self) -> bool:
        return self.expected is not None

    @property
    def text(self) -> str:
        """The input's values, one a line."""
        return "\n".join(_shown(value) for value in self.input.values() if value is not None)

    @property
    def label(self) -> str:
        return answer_text(self.expected)

    def line(self) -> bytes:
        """Canonical JSON."""
        table: dict[str, Expected] = {
            "id": self.id, "group": self.group, "input": dict(self.input),
        }  # fmt: skip
        if self.expected is not None:
            whole = self.expected
            table["expected"] = dict(whole) if isinstance(whole, Mapping) else whole
        for name in ("time", "stratum", "teacher"):
            if (value := getattr(self, name)) is not None:
                table[name] = value
        if self.relevant is not None:
            table["relevant"] = dict(self.relevant)
        return strict_json.dump(table) + b"\n"

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the line: names this item with this answer."""
        return hashlib.sha256(self.line()).hexdigest()


def answer_text(expected: Expected) -> str:
    """A label as it is, fields as JSON with sorted keys."""
    if isinstance(expected, str):
        return expected
    return strict_json.dump(dict(expected) if isinstance(expected, Mapping) else expected).decode()


def parse_line(line: bytes, where: str) -> Item:
    """`where` names the line in messages.

    Raises:
        DatasetRefused: `dataset_encoding`, `dataset_malformed`, `item_too_large`, or as `build`.
    """
    if len(line) > MAX_LINE:
        raise DatasetRefused(
            "item_too_large", f"{where} has {len(line)} bytes, more than {MAX_LINE}."
        )
    try:
        line.decode()
    except UnicodeDecodeError as error:
        raise DatasetRefused("dataset_encoding", f"{where} is not UTF-8.") from error

    def refuse(problem: str) -> ApplianceError:
        return DatasetRefused("dataset_malformed", f"{where}: {problem}.")

    return build(strict_json.parse(line, refuse, limit=MAX_LINE), where)


def build(value: object, where: str) -> Item:
    """An item from plain values.

    Raises:
        DatasetRefused: `item_invalid`, `group_missing`, `item_too_large`.
    """
    if not isinstance(value, dict):
        raise _invalid(where, "it is not an object")
    unknown = value.keys() - _KNOWN
    if unknown:
        raise _invalid(where, f"it has an unknown field {visible(min(unknown), limit=80)!r}")
    name = _name(value.get("id"), "id", where)
    if value.get("group") in (None, ""):
        raise DatasetRefused("group_missing", f"{where} has no group.")
    group = _name(value.get("group"), "group", where)
    given = value.get("input")
    if isinstance(given, str):
        given = {"text": given}
    if not isinstance(given, dict) or not given or len(given) > MAX_FIELDS:
        raise _invalid(where, f"input must have between 1 and {MAX_FIELDS} fields")
    for field, content in given.items():
        if not isinstance(content, str | int | float | bool | None) or not field:
            raise _invalid(where, f"the input field {visible(field, limit=80)!r} is not plain")
    if all(content is None or content == "" for content in given.values()):
        raise _invalid(where, "input is empty")
    expected = value.get("expected")
    if not isinstance(expected, str | int | float | bool | dict | None):
        raise _invalid(where, "expected is neither a label nor fields")
    for what, content in (("input", given), ("expected", expected)):
        size = len(strict_json.dump(content))
        if size > MAX_INPUT:
            raise DatasetRefused(
                "item_too_large", f"{where}: {what} has {size} bytes, more than {MAX_INPUT}."
            )
    time = value.get("time")
    if time is not None and (not isinstance(time, str) or not _TIME.fullmatch(time)):
        raise _invalid(where, "time is not ISO 8601, as 2026-11-27 or 2026-11-27T10:30:00Z")
    stratum, split, teacher = (
        None if value.get(key) is None else _name(value[key], key, where)
        for key in ("stratum", "split", "teacher")
    )
    relevant = None if value.get("relevant") is None else _relevant(value["relevant"], where)
    return Item(name, group, given, expected, time, stratum, split, relevant, teacher)


def _relevant(value: object, where: str) -> dict[str, int]:
    problem = (
        f"relevant must name 1 to {MOST_RELEVANT} documents, each with a gain up to {MOST_GAIN}"
    )
    if not isinstance(value, dict) or not 1 <= len(value) <= MOST_RELEVANT:
        raise _invalid(where, problem)
    for name, gain in value.items():
        if not name or len(name) > MOST_DOCUMENT_NAME or type(gain) is not int:
            raise _invalid(where, problem)
        if not 1 <= gain <= MOST_GAIN:
            raise _invalid(where, problem)
    return value


def _name(value: object, what: str, where: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise _invalid(where, f"{what} is missing or not a text")
    if len(value) > _MAX_NAME or not value.isprintable():
        raise _invalid(where, f"{what} is too long or has characters that do not print")
    return value


def _shown(value: Scalar) -> str:
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else str(value)


def _invalid(where: str, problem: str) -> DatasetRefused:
    return DatasetRefused("item_invalid", f"{where}: {problem}.")
