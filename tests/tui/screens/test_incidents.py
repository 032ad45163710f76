"""The incidents under Pilot."""

from tests.tui.scripted import Script, status, terminal
from tests.tui.view.test_incidents import OPEN


async def test_an_incident_is_acknowledged() -> None:
    server = Script(status(), incidents_found=[OPEN])
    async with terminal(server, size=(120, 40)) as opened:
        await opened.press("i")
        await opened.wait("Free some.")
        await opened.press("a", "a")
        await opened.wait("POST /admin/incidents/3/ack")
        await opened.press("enter")
        await opened.wait("is acknowledged by you")
    assert server.calls == [("acknowledge", 3, "")]
