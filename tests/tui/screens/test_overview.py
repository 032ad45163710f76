"""The overview under Pilot."""

import pytest

from appliance.errors import Forbidden, Unavailable
from appliance.wire.admin.incidents import Incident
from appliance.wire.admin.usage import CurrentLoad
from tests.tui.scripted import DOWN, WORKER, Script, Told, model, status, terminal

SIZES = [(60, 20), (80, 24), (200, 60)]
REFUSED = model(
    "valve", "refused", code="file_changed", message="w.gguf is not the signed file.",
    hint="Copy it again.",
)  # fmt: skip
BUSY = status(
    models=[model("pump", "serving", loaded=True), REFUSED],
    workers=[WORKER],
    state="serving",
    audit={"entries": 1_234, "root": "c0ffee" * 10 + "beef", "latched": None},
)


@pytest.mark.parametrize("size", SIZES)
async def test_everything_is_on_the_screen_or_below(size: tuple[int, int]) -> None:
    async with terminal(Script(BUSY), size=size) as opened:
        shown = opened.text
        for words in ("LAB", "+ serving", "+ LIVE", "[1 Overview]", "SERVING", "tok/s", "? Help"):
            assert words in shown, words
        shown += await opened.press("pagedown", "end")
    for words in ("pump", "! refused", "why: file_changed: w.gguf", "1 234 entries", "c0ffee" * 8):
        assert words in shown, words


async def test_eighty_columns_hold_every_fact() -> None:
    async with terminal(Script(BUSY)) as opened:
        shown = opened.text + await opened.press("end")
    for words in ("25 % of 4 096", "2/8", "MEMORY", "disk free"):
        assert words in shown, words


async def test_the_room_of_a_large_terminal_is_used() -> None:
    async with terminal(Script(BUSY), size=(200, 60)) as opened:
        shown = opened.text
    assert "haswell" in shown and "4711" in shown and "disk free" in shown
    first = next(row for row in shown.split("\n") if "written" in row)
    assert "first token, p95" in first  # charts stand beside each other


@pytest.mark.parametrize(("lines", "below"), [(60, True), (48, False)])
async def test_what_waits_is_below_the_charts_where_there_are_many_lines(
    lines: int, below: bool
) -> None:
    wrong = {"code": "disk_low", "level": "warning", "message": "m", "since": "2026-11-18",
             "next": "n"}  # fmt: skip
    found = BUSY.model_copy(update={"incidents": [Incident.model_validate(wrong)]})
    async with terminal(Script(found), size=(200, lines)) as opened:
        rows = opened.text.split("\n")
    waits = next(row for row in rows if "NEEDS A PERSON" in row)
    assert ("SERVING" not in waits) is below
    waits = next(row for row in rows if "unusable: valve" in row)
    assert ("wrong now" in waits) is below
    assert any("! disk_low" in row for row in rows)


async def test_charts_move_with_the_load() -> None:
    script = Script(BUSY, load_found=CurrentLoad(at=1, server="s"))
    async with terminal(script) as opened:
        script.load_found = CurrentLoad(at=2, server="s", completion_tokens=42)
        assert "42.0 tok/s" in await opened.refresh()


async def test_a_server_that_goes_away_leaves_the_last_data_with_their_age() -> None:
    script = Script(BUSY)
    async with terminal(script, clock=lambda: script.now) as opened:
        script.error, script.now = DOWN, script.now + 14
        shown = await opened.refresh()
        assert "! DOWN  data 14 s old" in shown
        assert "/d/run/admin.sock" in shown and "Next: appliance serve --data /d" in shown
        assert "pump" in shown
        script.error, script.found = None, status(models=[model("motor")])
        shown = await opened.refresh()
        assert "+ LIVE" in shown and "motor" in shown
        assert "pump" not in shown and "Next:" not in shown


async def test_a_server_that_is_down_can_be_started_from_here() -> None:
    script, commands = Script(error=DOWN), Told(serve={"pid": 7})
    async with terminal(script, commands=commands) as opened:
        assert "! DOWN  no data yet" in opened.text and "a Actions" in opened.text
        assert "appliance serve --detach" in await opened.press("a", "s")
        script.error = None
        await opened.press("y")
        assert "process id 7" in await opened.wait("process id 7")
        assert [words for words in commands.ran if words != ("status",)] == [("serve", "--detach")]
        await opened.refresh()
        assert "a server answers" in await opened.press("a")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Forbidden("forbidden", "uid 7 has no role."), "! DENIED"),
        (Unavailable("incompatible_server", "The answer cannot be read."), "! INCOMPATIBLE"),
    ],
)
async def test_a_person_without_a_role_and_another_version_are_named(
    error: Forbidden, state: str
) -> None:
    async with terminal(Script(error=error)) as opened:
        assert state in opened.text and error.message in opened.text
        assert "Start server" not in opened.text


async def test_an_empty_appliance_says_what_to_do() -> None:
    async with terminal(Script()) as opened:
        assert "Press 0 to import one from a stick" in opened.text


async def test_basic_is_ascii() -> None:
    async with terminal(Script(BUSY), basic=True) as opened:
        assert opened.text.isascii(), opened.text
    async with terminal(Script(BUSY)) as opened:  # the control
        assert not opened.text.isascii()


async def test_alarms_are_shown_line_by_line() -> None:
    script = Script(status(alarms=["The disk is full.", "Landlock is off."]))
    async with terminal(script) as opened:
        shown = [row.strip() for row in opened.text.splitlines()]
    assert {"! The disk is full.", "! Landlock is off."} <= set(shown)
