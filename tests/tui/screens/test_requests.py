"""Live requests under Pilot."""

from tests.tui.scripted import Script, request, status, terminal


async def test_ten_thousand_are_listed_and_one_is_ended() -> None:
    script = Script(running=[request(n) for n in range(10_000)])
    async with terminal(script) as opened:
        await opened.press("3")
        assert "10 000 requests" in await opened.wait("10 000 requests")
        await opened.press("end")
        assert "app-9999" in opened.text
        shown = await opened.press("a", "c")
        assert "request_cancel req-9999" in shown and "request_cancelled" in shown
        await opened.press("y")
        await opened.wait("request req-9999 ended")
        assert script.calls == [("cancel", "req-9999")]


async def test_the_filter_and_the_list_that_is_held_still() -> None:
    script = Script(running=[request(1), request(2, queued=True)])
    async with terminal(script) as opened:
        await opened.press("3", "slash")
        shown = await opened.type("queued")
        assert "app-2" in shown and "app-1 " not in shown and "1 shown" in shown
        await opened.press("escape", "f")
        script.running = []
        assert "app-1" in await opened.refresh()
        await opened.press("f")
        assert "No requests" in await opened.refresh()


async def test_a_viewer_cannot_end_one() -> None:
    script = Script(status(role="viewer"), running=[request(1)])
    async with terminal(script) as opened:
        await opened.press("3")
        await opened.refresh()
        assert "Cancel the request" not in await opened.press("a", "c", "y")
        assert script.calls == []


async def test_a_start_in_the_future_is_no_negative_age() -> None:
    script = Script(running=[request(1, started="2031-01-01T00:00:00Z")])
    async with terminal(script) as opened:
        await opened.press("3")
        assert " 0 s" in await opened.refresh()
