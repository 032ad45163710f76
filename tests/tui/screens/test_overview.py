"""The overview under Pilot."""

import pytest
from textual.app import App, ComposeResult
from textual.content import Content
from textual.widgets import Static

from appliance.errors import Refused, ServerUnreachable
from appliance.wire.admin import Status
from tests.test_client import STATUS
from tests.tui.scripted import DOWN, NASTY, WORKER, Script, model, status, terminal, text_of

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
async def test_everything_fits_on_the_screen(size: tuple[int, int]) -> None:
    async with terminal(Script(BUSY).fetch, size=size) as opened:
        shown = opened.text
    for words in (
        "LAB", "+ serving", "+ LIVE", "pump", "! refused", "why: file_changed: w.gguf is not",
        "+ ready", "25% of 4096", "2/8", "1234 entries", "c0ffee" * 8, "Quit", "Refresh", "Help",
    ):  # fmt: skip
        assert words in shown, words


async def test_eighty_columns_hold_every_fact() -> None:
    async with terminal(Script(BUSY).fetch) as opened:
        shown = opened.text
    assert "4711" in shown and "RESTARTS" in shown and "beef" in shown and "disk free" in shown


async def test_a_server_that_goes_away_leaves_the_last_data_with_their_age() -> None:
    script = Script(BUSY)
    async with terminal(script.fetch, clock=lambda: script.now) as opened:
        script.answer, script.now = DOWN, script.now + 14
        shown = await opened.refresh()
        assert "! DOWN  data 14 s old" in shown
        assert "/d/run/admin.sock" in shown and "Next: appliance serve --data /d" in shown
        assert "pump" in shown and "1234 entries" in shown
        assert opened.app.screen.has_class("old")
        script.answer = status(models=[model("motor")])
        shown = await opened.refresh()
        assert "+ LIVE" in shown and "motor" in shown
        assert "pump" not in shown and "Next:" not in shown
        assert not opened.app.screen.has_class("old")


async def test_a_server_that_was_never_there() -> None:
    async with terminal(Script(DOWN).fetch) as opened:
        assert "! DOWN  no data yet" in opened.text
        assert "MODELS" not in opened.text


async def test_a_caller_without_a_role_is_told_so() -> None:
    async with terminal(Script(Refused("forbidden", "uid 7 has no role.")).fetch) as opened:
        assert "! DENIED" in opened.text and "uid 7 has no role." in opened.text


async def test_an_empty_appliance_says_what_to_do() -> None:
    async with terminal(Script().fetch) as opened:
        assert "appliance model import" in opened.text
        assert "no model is loaded" in opened.text


async def test_read_only_is_said() -> None:
    async with terminal(Script().fetch, readonly=True) as opened:
        assert "read-only" in opened.text


async def test_basic_is_ascii() -> None:
    async with terminal(Script(BUSY).fetch, basic=True) as opened:
        assert opened.text.isascii()
        assert (await opened.press("question_mark")).isascii()
    async with terminal(Script(BUSY).fetch) as opened:  # the control
        assert not opened.text.isascii()


async def test_alarms_are_shown_line_by_line() -> None:
    script = Script(status(alarms=["The disk is full.", "Landlock is off."]))
    async with terminal(script.fetch) as opened:
        shown = [row.strip() for row in opened.text.splitlines()]
    assert {"! The disk is full.", "! Landlock is off."} <= set(shown)


async def test_the_room_of_a_larger_terminal_is_used() -> None:
    async with terminal(Script(BUSY).fetch) as opened:
        assert "KERNEL" not in opened.text
        await opened.pilot.resize_terminal(160, 40)
        await opened.pilot.pause()
        assert "KERNEL" in opened.text and "haswell" in opened.text


def everywhere(value: object, text: str) -> object:
    """A document with a text in place of each of its texts."""
    if isinstance(value, dict):
        return {key: everywhere(part, text) for key, part in value.items()}
    if isinstance(value, list):
        return [everywhere(part, text) for part in value]
    return text if isinstance(value, str) else value


def document() -> dict[str, object]:
    """A status with every text that there can be."""
    full = model("m", code="c", message="m", hint="h", digest="d", created="t")
    audit = {"entries": 1, "root": "r", "latched": "l"}
    return {**STATUS, "models": [full], "workers": [WORKER], "audit": audit, "alarms": ["a"]}


def safe(shown: str) -> bool:
    return all(row.isprintable() for row in shown.split("\n"))


@pytest.mark.parametrize("text", NASTY)
async def test_hostile_text_anywhere_is_shown_and_steers_nothing(text: str) -> None:
    made = everywhere(document(), text)
    assert isinstance(made, dict)
    script = Script(Status.model_validate({**made, "state": "serving"}))
    async with terminal(script.fetch, size=(120, 40)) as opened:
        assert "+ LIVE" in opened.text and safe(opened.text)
        script.answer = ServerUnreachable("server_unreachable", text)
        shown = await opened.refresh()
        assert opened.app.is_running
        assert "! DOWN" in shown and safe(shown)


async def test_the_control_reaches_the_screen() -> None:
    class Careless(App[None]):
        def compose(self) -> ComposeResult:
            yield Static(Content("\x1b]0;owned", strip_control_codes=False))

    app = Careless()
    async with app.run_test():
        assert not safe(text_of(app))


async def test_what_did_not_change_is_not_drawn_again() -> None:
    script = Script(status(uptime_seconds=61))
    async with terminal(script.fetch) as opened:
        part = opened.app.screen.query_one("#top", Static)
        before = part.visual
        script.answer = status(uptime_seconds=62)
        await opened.refresh()
        assert part.visual is before
        script.answer = status(uptime_seconds=180)
        await opened.refresh()
        assert part.visual is not before  # the control
