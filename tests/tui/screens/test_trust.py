"""Trust under Pilot."""

from tests.tui.scripted import Script, key, terminal
from tests.tui.staging import POLICY


async def test_what_ends_stands_beside_the_policy_and_leads_to_where_it_is_renewed() -> None:
    made = Script(policy=POLICY, keys_found=[key("kiosk", expires="2026-11-20T00:00:00Z")])
    async with terminal(made, size=(120, 40)) as opened:
        await opened.press("x")
        shown = await opened.wait("2 of 2 end within")
        assert "> 2026-11-20" in shown and "A. Weber" in shown
        shown = await opened.press("enter")
        assert "[5 Keys]" in shown and "kiosk" in shown
        assert "[x Trust]" in await opened.press("escape", "escape")
        made.policy = None
        assert "! not_found" in await opened.refresh()
