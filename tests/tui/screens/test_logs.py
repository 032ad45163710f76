"""Logs under Pilot, with and without a server."""

from appliance.errors import Refused
from tests.tui.scripted import DOWN, Script, Told, log_line, terminal


async def test_it_follows_and_holds_still() -> None:
    made = Script(log=[log_line(1, "first"), log_line(2, "second", "error", code="file_changed")])
    async with terminal(made) as opened:
        await opened.press("9")
        shown = await opened.wait("second")
        assert "! error" in shown and "code file_changed" in shown and "follows" in shown
        await opened.press("f")
        made.log = [*made.log, log_line(3, "third")]
        assert "third" not in await opened.refresh()
        await opened.press("f")
        assert "third" in await opened.refresh()


async def test_the_level_and_the_filter_are_asked_of_the_server() -> None:
    made = Script(log=[log_line(1, "first", "error"), log_line(2, "second", "warning")])
    async with terminal(made) as opened:
        await opened.press("9", "left_square_bracket")
        assert "warning and above" in await opened.refresh()
        await opened.press("slash")
        await opened.type("sec")
        shown = await opened.refresh()
        assert "second" in shown and "first" not in shown


async def test_without_a_server_the_command_reads_the_file() -> None:
    line = log_line(1, "it ended").model_dump()
    commands = Told(logs={"lines": [line], "file": "/d/logs/server.jsonl"})
    async with terminal(Script(error=DOWN), commands=commands) as opened:
        await opened.press("9")
        assert "no server runs" in await opened.wait("it ended")
        await opened.refresh()
        assert [line[0] for line in commands.ran].count("logs") == 1  # the file does not grow


async def test_a_file_that_may_not_be_read_says_how_else() -> None:
    commands = Told(logs=Refused("file_unusable", "Permission denied."))
    async with terminal(Script(error=DOWN), commands=commands) as opened:
        await opened.press("9")
        await opened.wait("journalctl -u appliance")
