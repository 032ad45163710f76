"""A list is described once: the command and the terminal show the same of an item."""

import importlib
import pkgutil
from typing import Any

import pytest

import appliance.wire.admin
from appliance.cli import output
from appliance.wire.admin.columns import ColumnKind, ListColumn, ListTable
from appliance.wire.admin.keys import KEY_TABLE, Key
from appliance.wire.admin.upstreams import UPSTREAM_TABLE, Upstream, hosts_of
from tui.columns import Column, cells, listed
from tui.text import cell

TABLES: dict[str, ListTable[Any]] = {
    name: value
    for info in pkgutil.iter_modules(appliance.wire.admin.__path__)
    for name, value in vars(importlib.import_module(f"appliance.wire.admin.{info.name}")).items()
    if isinstance(value, ListTable)
}
MADE = Key(
    id="k1", name="kiosk\x1b[2J", role="app", models=[], created="2026-01-01T00:00:00Z",
    expires=None, revoked=False, state="valid", last_used="2026-02-03T04:05:06Z",
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_list_that_is_empty_says_how_to_fill_it(name: str) -> None:
    table = TABLES[name]
    titles = [column.title for column in table.columns]
    assert sorted(titles) == sorted(set(titles))
    assert table.empty.startswith("No ") and ("`" in table.empty or "[" in table.empty)


def test_a_command_and_the_terminal_show_the_same_item() -> None:
    head, row = output.rows([MADE], KEY_TABLE)
    assert head.split() == ["ID", "STATE", "NAME", "ROLE", "MODELS", "EXPIRES", "LAST", "USED"]
    assert "[+] valid" in row and "never" in row and "2026-02-03T04:05:06Z" in row
    assert "\x1b" not in row and "kiosk" in row
    columns = [listed(KEY_TABLE, title, 20) for title in ("ID", "STATE", "EXPIRES", "LAST USED")]
    shown = [cell(part).plain for part in cells(columns, MADE, {})]
    assert shown == ["k1", "+ valid", "never", "2026-02-03 04:05:06"]


def test_what_cannot_be_used_has_one_row() -> None:
    broken = Upstream(name="large", kind="vllm", model="m", broken="No such file")
    (_, row) = output.rows(hosts_of([broken]), UPSTREAM_TABLE)
    assert row.split() == ["large", "vllm", "-", "[!]", "broken", "-", "No", "such", "file"]


def test_numbers_are_counted_and_stand_to_the_right() -> None:
    table = ListTable[int](
        "No numbers: `count`.",
        (
            ListColumn("N", lambda number: number, ColumnKind.COUNT),
            ListColumn("SIZE", lambda number: number << 20, ColumnKind.BYTES),
        ),
    )
    assert output.rows([1234], table)[1].split() == ["1234", "1.2", "GiB"]
    columns = [listed(table, "N", 5), listed(table, "SIZE", 8, name="BYTES")]
    assert [cell(part).plain for part in cells(columns, 1234, {})] == ["1 234", "1.2 GiB"]
    assert [(column.title, column.right) for column in columns] == [("N", True), ("BYTES", True)]


def test_a_cell_that_no_column_says_is_missed() -> None:
    own = [Column("AGE", 6)]
    assert cells(own, MADE, {"AGE": "3 s"}) == ["3 s"]
    with pytest.raises(KeyError):
        cells(own, MADE, {})
