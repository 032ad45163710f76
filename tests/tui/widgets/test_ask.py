"""The question before a change."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual import events
from textual.app import App
from textual.pilot import Pilot

from tests.tui.scripted import NASTY, text_of
from tui.app import OperatorApp
from tui.change import Blank, Change, name_blank
from tui.widgets.ask import Ask
from tui.widgets.entry import Typing


def change(*blanks: Blank, title: str = "Revoke pump", lasting: bool = False) -> Change:
    return Change(
        title, "POST /x", "model: pump revoked", lambda _answers, _report: None, blanks=blanks,
        lasting=lasting,
    )  # fmt: skip


@asynccontextmanager
async def asking(
    asked: Change, kind: type[App[None]] | None = None
) -> AsyncIterator[tuple[App[None], "Pilot[None]", list[Any]]]:
    app = (kind or Typing)(css_path=OperatorApp.CSS_PATH)
    answers: list[Any] = []
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(Ask(asked), answers.append)
        await pilot.pause()
        yield app, pilot, answers


async def test_it_names_object_request_and_record() -> None:
    async with asking(change(lasting=True)) as (app, _, _answers):
        for words in ("Revoke pump", "POST /x", "model: pump revoked", "cannot be undone", "y yes"):
            assert words in text_of(app), words


@pytest.mark.parametrize(("key", "answer"), [("y", {}), ("n", None), ("escape", None)])
async def test_one_key_answers(key: str, answer: object) -> None:
    async with asking(change()) as (_, pilot, answers):
        await pilot.press("x", "enter", "space")
        assert answers == []
        await pilot.press(key)
        assert answers == [answer]


async def test_what_cannot_be_undone_takes_the_name() -> None:
    async with asking(change(name_blank("pump"), lasting=True)) as (app, pilot, answers):
        await pilot.press("y", "enter")
        assert answers == [] and "Type pump" in text_of(app)
        await pilot.press("backspace", *"pump", "enter")
        assert answers == [{"name": "pump"}]


async def test_enter_goes_through_the_blanks() -> None:
    blanks = (Blank("a", "First", needed=True), Blank("b", "Second", "kept"))
    async with asking(change(*blanks)) as (_, pilot, answers):
        await pilot.press("enter", "enter")
        assert answers == []
        await pilot.press("shift+tab", *"one", "ctrl+y")
        assert answers == [{"a": "one", "b": "kept"}]


@pytest.mark.parametrize("kind", [Typing, App])
async def test_keys_that_come_at_once_do_not_overtake_each_other(kind: type[App[None]]) -> None:
    blanks = (Blank("a", "First", "old"), Blank("b", "Second"))
    async with asking(change(*blanks), kind) as (app, pilot, answers):
        for key in ("ctrl+u", *"one", "enter", *"tow", "left", "backspace", "end", *"o", "enter"):
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await pilot.pause()
        right = answers == [{"a": "one", "b": "two"}]
    assert right is (kind is Typing)  # the control: messages between widgets mix them up


@pytest.mark.parametrize("text", NASTY)
async def test_hostile_names_are_shown_as_they_are(text: str) -> None:
    asked = Change(
        text, text, text, lambda _answers, _report: None, blanks=(Blank("a", text, help="h"),),
        explain=(text,),
    )  # fmt: skip
    async with asking(asked) as (app, _, _answers):
        assert all(row.isprintable() for row in text_of(app).split("\n"))
