"""The audit explorer under Pilot."""

from tests.tui.scripted import DOWN, Script, Told, entry, status, terminal
from tui.screens.audit import PAGE


def script(count: int = 250) -> Script:
    made = Script(status(audit={"entries": count, "root": "00", "latched": None}))
    made.entries = [
        entry(n, "intent" if n % 5 else "model", model="pump", event=f"e{n}") for n in range(count)
    ]
    return made


async def test_the_newest_come_first_page_by_page() -> None:
    async with terminal(script()) as opened:
        await opened.press("4")
        shown = await opened.wait("page 1")
        assert "150 to 249" in shown and ">       249" in shown and "e249" in shown
        await opened.press("right_square_bracket")
        assert "50 to 149" in await opened.wait("page 2")
        await opened.press("right_square_bracket")
        assert "0 to 49" in await opened.wait("page 3, the last")
        await opened.press("right_square_bracket")  # there is nothing older
        assert "page 3" in await opened.refresh()
        await opened.press("left_square_bracket")
        assert "50 to 149" in await opened.wait("page 2")
        await opened.press("escape")
        assert "150 to 249" in await opened.wait("page 1")


async def test_only_one_page_is_held_of_a_million_entries() -> None:
    made = Script(status(audit={"entries": 1_000_000, "root": "00", "latched": None}))
    made.entries = [entry(n) for n in range(999_700, 1_000_000)]
    async with terminal(made) as opened:
        await opened.press("4")
        assert "1 000 000 in the log" in await opened.wait("999900 to 999999")
        page = opened.app.page
        assert len(page._found.entries) == PAGE  # type: ignore[attr-defined]


async def test_the_newest_page_follows_the_log_and_an_older_one_does_not() -> None:
    made = script(120)
    async with terminal(made) as opened:
        await opened.press("4")
        await opened.wait("page 1")
        made.entries.append(entry(120, event="e120"))
        assert "e120" in await opened.refresh()
        await opened.press("right_square_bracket")
        await opened.wait("page 2")
        made.entries.append(entry(121, event="e121"))
        assert "e121" not in await opened.refresh()


async def test_a_search_and_one_that_means_nothing() -> None:
    async with terminal(script()) as opened:
        await opened.press("4", "slash")
        await opened.type("kind=model")
        await opened.press("enter")
        shown = await opened.wait("search 'kind=model'")
        assert "e245" in shown and "e249" not in shown
        await opened.press("slash", *["backspace"] * 10)
        await opened.type("colour=red")
        await opened.press("enter")
        assert "colour is none of" in await opened.wait("! invalid_value")
        await opened.press("escape")
        assert "all entries" in await opened.refresh()


async def test_an_entry_is_opened() -> None:
    async with terminal(script()) as opened:
        await opened.press("4")
        await opened.wait("page 1")
        assert "AUDIT ENTRY" in await opened.press("enter")
        assert "AUDIT ENTRY" not in await opened.press("escape")


async def test_the_log_is_exported_by_the_command() -> None:
    commands = Told(audit_export={"entries": 250})
    async with terminal(script(), commands=commands) as opened:
        await opened.press("4", "a", "e", "enter")
        await opened.type("/o")
        await opened.press("enter")
        assert "250 entries: /o" in await opened.wait("250 entries: /o")
        assert commands.ran[0][:4] == ("audit", "export", "--format", "tiles")


async def test_without_a_server_the_last_page_stays() -> None:
    made = script()
    async with terminal(made) as opened:
        await opened.press("4")
        await opened.wait("page 1")
        made.error = DOWN
        shown = await opened.refresh()
        assert "! DOWN" in shown and "e249" in shown
