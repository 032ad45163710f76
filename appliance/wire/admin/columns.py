"""The columns of each list, said once for the tables of commands and the rows of the terminal.

Rules: each program shows each kind of column in one way; an empty list says how to fill it.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class ColumnKind(enum.Enum):
    """Kind of a column."""

    TEXT = enum.auto()
    STATE = enum.auto()
    COUNT = enum.auto()
    BYTES = enum.auto()
    MOMENT = enum.auto()


@dataclass(frozen=True)
class ListColumn(Generic[T]):
    """A column: its title, its value of an item, and what stands for None."""

    title: str
    of: Callable[[T], str | int | None]
    kind: ColumnKind = ColumnKind.TEXT
    none: str = "-"


@dataclass(frozen=True)
class ListTable(Generic[T]):
    """A list: its words when it is empty, and its columns as a command prints them."""

    empty: str
    columns: tuple[ListColumn[T], ...]

    def __getitem__(self, title: str) -> ListColumn[T]:
        return next(column for column in self.columns if column.title == title)
