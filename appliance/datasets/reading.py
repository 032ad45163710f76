"""Items from JSON lines and CSV files of other programs.

Rules: a file is read in pieces; lines, cells, columns, items and bytes are bounded; formulas are
not values; nothing is guessed about groups; the first fault ends the reading, with its line.
"""

import contextlib
import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from appliance.datasets.items import MAX_FIELDS, MAX_LINE, Item, Scalar, build, parse_line
from appliance.errors import ApplianceError, DatasetRefused
from appliance.text import visible
from appliance.trust.bytes import strict_json

MAX_ITEMS: Final = 1_000_000
MAX_BYTES: Final = 2 << 30
MAX_COLUMNS: Final = MAX_FIELDS
_BOM: Final = b"\xef\xbb\xbf"
_FORMULA: Final = re.compile(r"=(?!=)|[@\t\r]|[+-](?=[^|!(]*[|!(])(?!\s)")
"""A spreadsheet evaluates such a cell; a minus alone also begins lists and numbers."""


@dataclass(frozen=True)
class Columns:
    """The columns of a table that make an item.

    Attributes:
        id: None numbers the items.
        group: together they name the group.
        expected: one column is a label; several are the fields of an answer; none: unlabelled.
        labels: the one `expected` column is a field all the same.
    """

    group: tuple[str, ...]
    input: tuple[str, ...]
    expected: tuple[str, ...] = ()
    id: str | None = None
    time: str | None = None
    stratum: str | None = None
    split: str | None = None
    as_fields: bool = False


def read_items(path: Path) -> list[Item]:
    """Read JSON lines in our own form.

    Raises:
        DatasetRefused: `dataset_unreadable`, `dataset_too_large`, `item_duplicate`, or as
            `items.parse_line`.
    """
    with _opened(path) as file:
        return parse_lines(file, path.name)


def parse_lines(file: BinaryIO, name: str) -> list[Item]:
    """As `read_items`; `name` is for messages."""
    return _collect(parse_line(line, where) for where, line in _lines(file, name))


def read_json_lines(path: Path, columns: Columns) -> list[Item]:
    """Read flat JSON objects, one a line.

    Raises:
        DatasetRefused: as `read_items`; `item_invalid` for a missing column.
    """

    def rows() -> Iterator[tuple[str, dict[str, Scalar]]]:
        for where, line in _lines(file, path.name):
            row = strict_json.parse(_text(line, where).encode(), _malformed(where), limit=MAX_LINE)
            if not isinstance(row, dict):
                raise _malformed(where)("it is not an object")
            yield where, row

    with _opened(path) as file:
        return _collect(_item(row, columns, where, n) for n, (where, row) in enumerate(rows(), 1))


def read_csv(
    path: Path, columns: Columns, *, delimiter: str = ",", formulas_are_text: bool = False
) -> list[Item]:
    """Read CSV (RFC 4180), whose first row names the columns.

    Args:
        formulas_are_text: take a cell that looks like a formula as text.

    Raises:
        DatasetRefused: as `read_json_lines`; `csv_columns`, `csv_formula`.
    """

    def rows() -> Iterator[tuple[str, dict[str, Scalar]]]:
        lines = (_text(line, where) for where, line in _lines(file, path.name, True))
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        head: list[str] | None = None
        try:
            for cells in reader:
                where = f"{path.name}, line {reader.line_num}"
                if len(cells) > MAX_COLUMNS:
                    raise DatasetRefused(
                        "csv_columns", f"{where} has {len(cells)} columns, over {MAX_COLUMNS}."
                    )
                if head is None:
                    head = _head(cells, where)
                    continue
                if not cells:
                    continue
                if len(cells) != len(head):
                    raise DatasetRefused(
                        "csv_columns", f"{where} has {len(cells)} cells, the head {len(head)}."
                    )
                if not formulas_are_text:
                    _check_formulas(head, cells, where)
                yield where, dict(zip(head, cells, strict=True))
        except csv.Error as error:
            raise _malformed(f"{path.name}, line {reader.line_num}")(str(error)) from error

    with _opened(path) as file:
        return _collect(_item(row, columns, where, n) for n, (where, row) in enumerate(rows(), 1))


def _head(cells: list[str], where: str) -> list[str]:
    names = [cell.strip() for cell in cells]
    if len(set(names)) != len(names) or "" in names:
        raise DatasetRefused("csv_columns", f"{where}: a column has no name, or two have one name.")
    return names


def _check_formulas(head: list[str], cells: list[str], where: str) -> None:
    for name, cell in zip(head, cells, strict=True):
        if _FORMULA.match(cell):
            shown = visible(cell, limit=40)
            raise DatasetRefused(
                "csv_formula", f"{where}, {visible(name, limit=80)}: {shown!r} is a formula."
            )


def _item(row: dict[str, Scalar], columns: Columns, where: str, number: int) -> Item:
    def cell(name: str) -> Scalar:
        if name not in row:
            known = ", ".join(visible(key, limit=40) for key in list(row)[:20])
            raise DatasetRefused(
                "item_invalid", f"{where} has no column {visible(name, limit=80)!r}, but {known}."
            )
        return row[name]

    parts = [cell(name) for name in columns.group]
    if any(part is None or str(part).strip() == "" for part in parts):
        raise DatasetRefused("group_missing", f"{where} has no {' and '.join(columns.group)}.")
    value = {
        "id": f"{number:07d}" if columns.id is None else cell(columns.id),
        "group": " ".join(str(part) for part in parts),
        "input": {name: cell(name) for name in columns.input},
    }
    answers = {name: _none(cell(name)) for name in columns.expected}
    if columns.as_fields or len(answers) > 1:
        value["expected"] = answers
    elif answers:
        value["expected"] = next(iter(answers.values()))
    for key in ("time", "stratum", "split"):
        if (name := getattr(columns, key)) is not None:
            value[key] = _none(cell(name))
    return build(value, where)


def _none(cell: Scalar) -> Scalar:
    return None if isinstance(cell, str) and not cell.strip() else cell


def _collect(items: Iterable[Item]) -> list[Item]:
    found: list[Item] = []
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            shown = visible(item.id, limit=80)
            raise DatasetRefused("item_duplicate", f"Two items have the id {shown!r}.")
        seen.add(item.id)
        found.append(item)
        if len(found) > MAX_ITEMS:
            raise DatasetRefused("dataset_too_large", f"There are more than {MAX_ITEMS} items.")
    return found


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise DatasetRefused("dataset_unreadable", f"{path.name}: {error.strerror}.") from error


def _lines(file: BinaryIO, name: str, keep_ends: bool = False) -> Iterator[tuple[str, bytes]]:
    total = number = 0
    while line := file.readline(MAX_LINE + 2):
        number += 1
        where = f"{name}, line {number}"
        if number == 1:
            line = line.removeprefix(_BOM)
        total += len(line)
        if len(line) > MAX_LINE:
            raise DatasetRefused("item_too_large", f"{where} has more than {MAX_LINE} bytes.")
        if total > MAX_BYTES:
            raise DatasetRefused("dataset_too_large", f"{name} has more than {MAX_BYTES} bytes.")
        if keep_ends:
            yield where, line
        elif line.strip():
            yield where, line.rstrip(b"\r\n")


def _text(line: bytes, where: str) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise DatasetRefused("dataset_encoding", f"{where} is not UTF-8.") from error
    if "\0" in text:
        raise DatasetRefused("dataset_encoding", f"{where} is not UTF-8 text: it has zero bytes.")
    return text


def _malformed(where: str) -> strict_json.Refuse:
    def refuse(problem: str) -> ApplianceError:
        return DatasetRefused("dataset_malformed", f"{where}: {problem}.")

    return refuse
