"""Common behaviour of every screen."""

import pytest

from tests.tui.scripted import Script, terminal
from tui.app import PAGES
from tui.keys import PLACES, START


async def test_the_key_of_a_place_puts_it_in_front_and_escape_leads_back() -> None:
    async with terminal(Script(), size=(100, 24)) as opened:
        for place in PLACES[1:]:
            assert f"[{place.key} {place.title}]" in await opened.press(place.key)
        for place in reversed(PLACES[:-1]):
            assert f"[{place.key} {place.title}]" in await opened.press("escape")
        assert opened.app.is_running  # escape never ends the program
        for place in PLACES[1:3]:
            assert f"[{place.key} {place.title}]" in await opened.press("g", place.key)


def test_each_place_has_one_screen_and_each_screen_one_place() -> None:
    assert sorted(page.TITLE for page in PAGES) == sorted([START, *(p.title for p in PLACES)])


@pytest.mark.parametrize("basic", [False, True])
async def test_the_map_has_every_place_on_the_smallest_screen(basic: bool) -> None:
    async with terminal(Script(), basic=basic) as opened:
        shown = await opened.press("g")
    for place in PLACES:
        assert f"{place.key}  {place.title}" in shown, place.title
