"""Models and signatures under Pilot."""

import pytest

from appliance.errors import StateRefused
from tests.tui.scripted import WORKER, Script, Told, model, status, terminal

MODELS = [
    model("pump", "serving", loaded=True),
    model("motor", "approved", digest="ab" * 32),
    model("fresh", "verified"),
    model("valve", "refused", code="file_changed", message="w differs.", hint="Copy it again."),
]


def script(**changes: object) -> Script:
    return Script(status(models=MODELS, workers=[WORKER], state="serving", **changes))


async def test_each_model_says_why_and_what_comes_next() -> None:
    async with terminal(script()) as opened:
        await opened.press("2")
        assert "+ ready" in await opened.wait("held in")
        await opened.press("end")
        shown = await opened.wait("Copy it again.")
        assert "file_changed: w differs." in shown and "> valve" in shown


CHANGES = [
    (1, "l", ["y"], ("load", "motor")),
    (0, "u", ["y"], ("unload", "pump")),
    (1, "s", [*"drift", "enter"], ("suspend", "motor", "drift")),
    (1, "t", ["enter", *"motor", "enter"], ("retire", "motor", "")),
    (3, "x", [*"bad", "enter", *"valve", "enter"], ("revoke", "valve", "bad")),
    (0, "k", ["y"], ("recheck",)),
]  # fmt: skip


async def test_a_change_is_asked_for_once_after_yes() -> None:
    made = script()
    async with terminal(made) as opened:
        await opened.press("2")
        for place, letter, answers, call in CHANGES:
            made.calls.clear()
            await opened.press("home", *["down"] * place)
            shown = await opened.press("a", letter)
            assert "records" in shown and "POST /admin/models/" in shown
            assert made.calls == []
            await opened.press(*answers)
            await opened.wait("+ ")
            await opened.refresh()
            assert made.calls == [call]


async def test_no_and_escape_change_nothing() -> None:
    made = script()
    async with terminal(made) as opened:
        await opened.press("2", "a", "u", "n", "a", "u", "escape")
        await opened.refresh()
        assert made.calls == []


async def test_a_refusal_is_told_with_its_hint_and_nothing_is_tried_again() -> None:
    made = script()
    made.refused["unload"] = StateRefused("wrong_state", "pump is not loaded.")
    async with terminal(made) as opened:
        await opened.press("2", "a", "u", "y")
        assert "pump is not loaded." in await opened.wait("! wrong_state")
        await opened.refresh()
        assert made.calls == [("unload", "pump")]
        assert "wrong_state" not in await opened.press("escape")


async def test_only_what_the_state_allows_can_be_asked() -> None:
    async with terminal(script()) as opened:
        await opened.press("2")
        assert "Load pump" not in await opened.press("a", "l")  # it is loaded
        await opened.press("escape", "down")
        assert "Load motor" in await opened.press("a", "l")


async def test_an_approval_is_signed_by_the_command() -> None:
    commands = Told(model_approve={"state": "approved"})
    async with terminal(script(), commands=commands) as opened:
        await opened.press("2", "down", "down", "a", "a")
        await opened.type("approver-1")
        await opened.press("enter")
        await opened.type("/k.pem")
        await opened.press("enter", *"fit", "enter")
        await opened.wait("approved fresh")
        assert commands.ran == [
            ("model", "approve", "fresh", "--as", "approver-1", "--key", "/k.pem",
             "--meaning", "fit")
        ]  # fmt: skip


@pytest.mark.parametrize(("role", "readonly"), [("viewer", False), ("admin", True)])
async def test_who_may_not_is_not_offered(role: str, readonly: bool) -> None:
    made = script(role=role)
    async with terminal(made, readonly=readonly) as opened:
        shown = await opened.press("2")
        for words in ("Load", "Unload", "Approve", "Suspend"):
            assert f" {words} " not in shown.split("\n")[-1], words
        await opened.press("a", "u", "y", "a", "l", "y", "a", "x")
        await opened.refresh()
        assert made.calls == [] and "records" not in opened.text


async def test_the_filter_keeps_what_has_the_words() -> None:
    async with terminal(script()) as opened:
        await opened.press("2", "slash")
        shown = await opened.type("refu")
        assert "valve" in shown and "> pump" not in shown and "motor" not in shown
        await opened.press("enter")
        assert "motor" in await opened.press("escape")
