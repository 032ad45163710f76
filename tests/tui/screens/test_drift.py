"""Drift under Pilot."""

from pathlib import Path

from tests.tui.scripted import Script, model, status, terminal
from tests.tui.staging import DRIFTS


async def test_an_alarm_is_ended_and_the_page_written(tmp_path: Path) -> None:
    tasks = [model(name, kind="task") for name in ("other", *DRIFTS)]
    made = Script(status(models=tasks), drifts=dict(DRIFTS))
    async with terminal(made) as opened:
        await opened.press("d")
        assert "other" not in await opened.wait("2 tasks watched")
        await opened.press("down", "a", "r", *"moved", "enter")
        await opened.wait("order-fields: alarm")
        assert made.calls == [("restart", "order-fields", "moved")]
        await opened.press("w", "ctrl+u")
        await opened.type(str(tmp_path / "d.html"))
        await opened.press("enter")
        await opened.wait("report of the weeks")
        assert (tmp_path / "d.html").read_text() == "<p>order-fields</p>"
