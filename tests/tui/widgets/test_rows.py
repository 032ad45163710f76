"""A list of any length."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from tests.tui.scripted import NASTY, text_of
from tui.columns import Column
from tui.text import Cell
from tui.widgets.rows import Rows


class Host(App[None]):
    """Counts the rows that are made."""

    def __init__(self) -> None:
        super().__init__()
        self.made = 0
        self.chosen: list[str] = []
        self.rows: Rows[str] = Rows(
            "rows", (Column("NAME", 0), Column("N", 6)), lambda item: item, self._cells, "nothing"
        )

    def _cells(self, item: str) -> Sequence[Cell]:
        self.made += 1
        return (item, str(len(item)))

    def compose(self) -> ComposeResult:
        yield self.rows

    def on_rows_chosen(self, message: Rows.Chosen) -> None:
        if type(message) is Rows.Chosen:
            self.chosen.append(str(self.rows.current))


@asynccontextmanager
async def listing(items: Sequence[str]) -> AsyncIterator[tuple[Host, "Pilot[None]"]]:
    app = Host()
    async with app.run_test(size=(40, 10)) as pilot:
        app.rows.show(items)
        app.rows.focus()
        await pilot.pause()
        yield app, pilot


def shown(app: Host) -> list[str]:
    return [row.rstrip() for row in text_of(app).split("\n")]


async def test_an_empty_list_says_so() -> None:
    async with listing([]) as (app, pilot):
        assert "  nothing" in shown(app)
        await pilot.press("down", "enter", "end", "pagedown")
        assert app.rows.current is None and app.chosen == ["None"]  # the first step is asked for


async def test_the_cursor_is_a_character_and_moves_by_keys() -> None:
    async with listing(["a", "b", "c"]) as (app, pilot):
        assert shown(app)[1].startswith("> a") and shown(app)[2].startswith("  b")
        moves = {"j": "b", "down": "c", "k": "b", "home": "a", "end": "c"}
        for pressed, name in moves.items():
            await pilot.press(pressed)
            assert app.rows.current == name
        await pilot.press("enter")
        assert app.chosen == ["c"]


async def test_ten_thousand_cost_what_a_screen_costs() -> None:
    async with listing([f"item {n}" for n in range(10_000)]) as (app, pilot):
        assert app.made < 100
        await pilot.press("end")
        await pilot.pause()
        assert "> item 9999" in "\n".join(shown(app)) and app.made < 300
        await pilot.press("pageup")
        assert app.rows.current == "item 9991"
        await pilot.press("home")
        await pilot.pause()
        assert shown(app)[1].startswith("> item 0")


async def test_the_cursor_stays_on_its_item_when_items_come_and_go() -> None:
    async with listing(["a", "b", "c"]) as (app, pilot):
        await pilot.press("down")
        app.rows.show(["new", "a", "b", "c"])
        assert app.rows.current == "b"
        app.rows.show(["a", "c"])
        assert app.rows.current == "c"
        app.rows.show([])
        assert app.rows.count == 0
        app.rows.show(["x"])
        await pilot.pause()
        assert shown(app)[1].startswith("> x")


async def test_a_line_that_did_not_change_is_not_drawn_again() -> None:
    async with listing(["a", "b", "c"]) as (app, pilot):
        lines: list[int] = []
        plain = app.rows.render_line

        def render_line(y: int):  # type: ignore[no-untyped-def]
            lines.append(y)
            return plain(y)

        app.rows.render_line = render_line  # type: ignore[method-assign]
        app.rows.show(["a", "b", "c"])
        await pilot.pause()
        assert lines == []
        app.rows.show(["a", "b", "changed"])
        await pilot.pause()
        assert set(lines) == {3}


@pytest.mark.parametrize("text", NASTY)
async def test_hostile_text_stays_in_its_line(text: str) -> None:
    async with listing([text, "after"]) as (app, pilot):
        await pilot.press("down")
        assert all(row.isprintable() for row in shown(app))
        assert shown(app)[2].startswith("> after")


async def test_rows_are_marked_and_sorted_and_the_cursor_stays_on_its_own() -> None:
    async with listing(["ccc", "a", "bb"]) as (app, pilot):
        await pilot.press("space", "space")
        assert app.rows.chosen == ["ccc", "a"] and app.rows.current == "bb"
        assert shown(app)[1].startswith("* ccc") and shown(app)[3].startswith("> bb")
        app.rows.sort(1)
        await pilot.pause()
        assert [row.split()[-2] for row in shown(app)[1:4]] == ["a", "bb", "ccc"]
        assert "N^" in shown(app)[0] and app.rows.current == "bb"
        app.rows.sort(1)
        await pilot.pause()
        assert [row.split()[-2] for row in shown(app)[1:4]] == ["ccc", "bb", "a"]
        app.rows.show(["a", "bb"])  # a marked item went
        assert app.rows.chosen == ["a"] and app.rows.unmark() and app.rows.chosen == ["bb"]


async def test_a_click_moves_the_cursor_and_a_second_one_chooses() -> None:
    async with listing(["ada", "ben", "cleo"]) as (app, pilot):
        line = next(n for n, text in enumerate(shown(app)) if "cleo" in text)
        for chosen in ([], ["cleo"]):
            await pilot.click(Rows, offset=(4, line - app.rows.region.y))
            assert (app.rows.current, app.chosen) == ("cleo", chosen)
        for nothing in (line - 3, line + 1):  # the head, and below the last row
            await pilot.click(Rows, offset=(4, nothing - app.rows.region.y))
        assert (app.rows.current, app.chosen) == ("cleo", ["cleo"])
