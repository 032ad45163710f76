"""The datasets screen."""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from appliance.facts import DatasetFacts
from appliance.wire.admin.gates import Ledger, LedgerSplit
from appliance.wire.admin.models import Model, ModelDetail
from tui.columns import Column, table
from tui.text import Cell, alarm, cell, labelled, line, quiet, state
from tui.view.models import signatures
from tui.view.units import clock, count, many

COLUMNS: Final = (
    Column("DATASET", 0, least=16, most=44),
    Column("STATE", 13),
    Column("ITEMS", 8, right=True),
    Column("GROUPS", 8, right=True, drop=2),
    Column("SEALED", 16, drop=1),
    Column("LOOKS LEFT", 10, right=True, drop=3),
    Column("DIGEST", 16, drop=4),
    Column("ADDED", 19, drop=5),
)
_SPLITS: Final = (
    Column("SPLIT", 0, least=10, most=20),
    Column("ITEMS", 8, right=True),
    Column("GROUPS", 8, right=True),
    Column("", 30),
)


def row(one: Model, detail: ModelDetail | None, ledger: Ledger | None) -> Sequence[Cell]:
    """One dataset of the store."""
    facts = None if detail is None else detail.facts
    known = facts if isinstance(facts, DatasetFacts) else None
    left = "-" if ledger is None else count(sum(split.left for split in ledger.splits))
    return (
        one.id, state(one.state), count(sum(known.items.values())) if known else "-",
        count(sum(known.groups.values())) if known else "-",
        (", ".join(known.sealed) or "no") if known else "-", left, (one.digest or "-")[:16],
        clock(one.created) if one.created else "-",
    )  # fmt: skip


def summary(found: Sequence[Model], kept: int) -> Content:
    """Write the counts."""
    more = [f"{count(kept)} shown"] if kept != len(found) else []
    return line(*map(quiet, [many(len(found), "dataset"), *more]))


def detail(one: ModelDetail, ledger: Ledger | None, width: int) -> list[Content]:
    """Everything about one dataset."""
    said = labelled("digest", one.digest or "-", width)
    if one.code or one.message:
        said += labelled("why", f"{one.code or ''}: {one.message or ''}", width)
    said += signatures(one, width)
    facts = one.facts
    if not isinstance(facts, DatasetFacts):
        return said
    splits = {split.split: split for split in ledger.splits} if ledger else {}
    rows: list[Sequence[Cell]] = [
        (name, count(items), count(facts.groups.get(name)),
         line(*[quiet("sealed")] * (name in facts.sealed), *_looks(splits.get(name))))
        for name, items in facts.items.items()
    ]  # fmt: skip
    return [*said, Content(""), *table(_SPLITS, rows, width)]


def _looks(split: LedgerSplit | None) -> Sequence[Cell]:
    if split is None:
        return ()
    left = cell(f"{count(split.left)} left") if split.left else alarm("none left")
    return f"{many(len(split.looks), 'look')} spent", left
