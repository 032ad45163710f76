"""The checkpoint under Pilot."""

from tests.tui.scripted import DOWN, Script, Told, terminal

NOTE = (
    "log.example/abc\n41\nXi4cB9kfo4ZF7jxqN2o6yqkLb0y2Wm5v8rQ3uT1aZcE=\n\n— sig " + "A" * 90 + "\n"
)


async def test_a_small_screen_has_the_head_and_a_large_one_the_whole_note() -> None:
    for size, words in (((80, 24), "Log, size and root"), ((120, 50), "with its signatures")):
        async with terminal(Script(note=NOTE), size=size) as opened:
            await opened.press("4", "a", "c")
            shown = await opened.wait(words)
            assert "█" in shown


async def test_a_basic_terminal_is_told_how_to_make_a_picture() -> None:
    async with terminal(Script(note=NOTE.replace("—", "-")), basic=True) as opened:
        await opened.press("4", "a", "c")
        shown = await opened.wait("checkpoint --png")
        assert shown.isascii()


async def test_without_a_server_the_command_reads_it() -> None:
    commands = Told(audit_checkpoint={"note": NOTE})
    async with terminal(Script(error=DOWN), commands=commands) as opened:
        await opened.press("4", "a", "c")
        await opened.wait("Log, size and root")
