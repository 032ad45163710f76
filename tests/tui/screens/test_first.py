"""A host without an appliance, under Pilot; with real commands: tests/tui/test_first_run.py."""

from pathlib import Path

from appliance.errors import Refused
from tests.tui.scripted import DOWN, Script, Told, model, status, terminal


async def test_one_key_leads_to_a_served_model(tmp_path: Path) -> None:
    script = Script(error=DOWN)

    def serve(*_: str) -> object:
        script.error = None
        script.found = status(state="serving", models=[model("demo", "serving", loaded=True)])
        return {"pid": 1}

    told = Told(init={}, model_list={"models": []}, model_demo={}, serve=serve)
    async with terminal(script, commands=told, data=tmp_path) as opened:
        assert "There is no appliance here yet." in opened.text and "! DOWN" in opened.text
        assert "appliance init; appliance model demo" in await opened.press("enter")
        await opened.press("enter", "enter")
        shown = await opened.wait("[1 Overview]")
        await opened.wait("demo is served")
        assert "demo" in shown
    assert [line[0] for line in told.ran] == ["init", "model", "model", "serve"]


async def test_a_step_that_fails_is_told_and_can_be_tried_again(tmp_path: Path) -> None:
    told = Told(init={}, model_list={"models": []}, model_demo=Refused("demo_model_missing", "No."))
    async with terminal(Script(error=DOWN), commands=told, data=tmp_path) as opened:
        await opened.press("enter", "enter", "enter")
        await opened.wait("! demo_model_missing")
        await opened.press("enter", *"m.gguf", "enter", *"8181", "enter")
        await opened.wait("! demo_model_missing")
        assert told.ran[-1] == ("model", "demo", "--from", "m.gguf")


async def test_a_port_that_is_taken_is_told_and_another_can_be_named(tmp_path: Path) -> None:
    script = Script(error=DOWN)

    def serve(*words: str) -> object:
        if "--port" not in words:
            raise Refused("server_not_started", "Port 8080 is in use.")
        script.error = None
        script.found = status(state="serving", models=[model("demo", "serving", loaded=True)])
        return {"pid": 1}

    told = Told(init={}, model_list={"models": [model("demo")]}, serve=serve)
    async with terminal(script, commands=told, data=tmp_path) as opened:
        await opened.press("enter", "enter", "enter")
        await opened.wait("Port 8080 is in use.")
        await opened.press("enter", "enter", *"8181", "enter")
        await opened.wait("demo is served")
    assert told.ran[-1] == ("serve", "--detach", "--port", "8181", "--save")


async def test_read_only_offers_nothing(tmp_path: Path) -> None:
    told = Told()
    async with terminal(Script(error=DOWN), commands=told, data=tmp_path, readonly=True) as opened:
        assert "Read-only was asked for" in opened.text
        await opened.press("enter")
        assert len(opened.app.screen_stack) == 1
