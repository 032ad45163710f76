"""The import wizard under Pilot; with real commands: tests/tui/test_scenarios.py."""

from pathlib import Path

import pytest

from appliance.errors import StateRefused
from tests.tui.scripted import DOWN, Script, Told, model, status, terminal
from tests.tui.staging import PLACES, PLAN


def commands(**changes: object) -> Told:
    state = {**model("triage-notes-v3", "verified"), "digest": "ab" * 32, "approvals": []}
    made: dict[str, object] = {
        "model_places": PLACES, "model_plan": PLAN, "model_import": state, "model_show": state,
        "model_approve": {"state": "approved"}, **changes,
    }  # fmt: skip
    return Told(**made)


async def test_from_the_stick_to_a_served_model() -> None:
    told, script = commands(), Script()
    people: list[dict[str, str]] = []

    def show(*_: str) -> object:
        state = "serving" if script.calls else ("approved" if len(people) == 2 else "verified")
        return {**model("triage-notes-v3", state), "digest": "ab" * 32, "approvals": people}

    def approve(*arguments: str) -> object:
        people.append({"name": arguments[4], "meaning": "fit", "time": "2026-11-18T12:00:00Z"})
        return {"state": "verified"}

    told.answers |= {"model_show": show, "model_approve": approve}
    async with terminal(script, commands=told) as opened:
        await opened.press("0")
        assert "[1 choose]" in await opened.wait("> triage-notes-v3")
        await opened.press("enter")
        assert "[3 import]" in await opened.wait("Next: a i")
        await opened.press("a", "i", "enter")
        await opened.wait("[4 approve (0 of 2)]")
        for number, name in enumerate(("A. Weber", "M. Okoye"), 1):
            assert name in await opened.press("a", "a")
            await opened.press("enter", "ctrl+u")
            await opened.type("/k.pem")
            await opened.press("enter", *"fit", "enter")
            await opened.wait(f"({number} of 2)" if number == 1 else "[5 load]")
        await opened.press("a", "l", "y")
        assert "5, then a n" in await opened.wait("[6 done]")
    assert script.calls == [("load", "triage-notes-v3")]


async def test_a_refused_artifact_is_told_and_offers_no_import() -> None:
    refused = {
        "path": "/m/x", "id": "x", "ok": False, "code": "file_changed", "message": "It differs.",
        "hint": "Copy it again.",
    }  # fmt: skip
    told = commands(model_plan=refused)
    async with terminal(Script(), commands=told) as opened:
        await opened.press("0")
        await opened.wait("> triage-notes-v3")
        await opened.press("enter")
        assert "Copy it again." in await opened.wait("! refused  file_changed")
        await opened.press("a", "i")
        assert "records" not in opened.text
        assert "> triage-notes-v3" in await opened.press("escape", "escape")


async def test_it_works_without_a_server_but_the_loading() -> None:
    approved = {**model("x", "approved"), "digest": "ab" * 32, "approvals": []}
    told = commands(model_show=approved)
    async with terminal(Script(error=DOWN), commands=told) as opened:
        await opened.press("0")
        await opened.wait("> triage-notes-v3")
        await opened.press("enter")
        await opened.wait("Next: a i")
        await opened.press("a", "i", "enter")
        await opened.wait("when the server starts")
        await opened.press("a", "l")
        assert "records" not in opened.text


async def test_a_command_that_fails_leaves_the_person_where_they_were() -> None:
    told = commands(model_plan=StateRefused("data_locked", "Another process holds it."))
    async with terminal(Script(), commands=told) as opened:
        await opened.press("0")
        await opened.wait("> triage-notes-v3")
        await opened.press("enter")
        assert "> triage-notes-v3" in await opened.wait("! data_locked")


async def test_a_directory_can_be_named() -> None:
    told = commands()
    async with terminal(Script(), commands=told, media=(Path("/given"),)) as opened:
        await opened.press("0")
        await opened.wait("> triage-notes-v3")
        await opened.press("a", "d")
        await opened.type("/srv/in")
        await opened.press("enter")
        await opened.wait("looking in /srv/in")
        assert told.ran[-1] == ("model", "places", "/given", "/srv/in")


@pytest.mark.parametrize(("role", "readonly"), [("viewer", False), ("admin", True)])
async def test_who_may_not_is_not_offered(role: str, readonly: bool) -> None:
    told = commands()
    async with terminal(Script(status(role=role)), commands=told, readonly=readonly) as opened:
        await opened.press("0")
        await opened.wait("> triage-notes-v3")
        await opened.press("enter")
        await opened.wait("Model Team")
        await opened.press("a", "i")
        assert "records" not in opened.text


async def test_the_artifacts_have_the_whole_width() -> None:
    async with terminal(Script(), commands=commands(), size=(200, 60)) as opened:
        await opened.press("0")
        shown = await opened.wait("> triage-notes-v3")
    frame = next(row for row in shown.splitlines() if "[1 choose]" in row)
    assert len(frame.rstrip()) > 190  # its right edge
