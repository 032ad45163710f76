"""The other appliances on the screen."""

from tests.tui.scripted import Script, status, terminal
from tests.tui.staging import SITE_FOUND


async def test_peers_and_the_one_under_the_cursor() -> None:
    async with terminal(Script(status(), site_found=SITE_FOUND), size=(120, 40)) as opened:
        await opened.press("n", "down", "down")
        await opened.wait("yard.example")
        assert "this is north" in opened.text and "member_not_listed" in opened.text


async def test_no_peers() -> None:
    async with terminal(Script(status())) as opened:
        await opened.press("n")
        await opened.wait("Add one with")
