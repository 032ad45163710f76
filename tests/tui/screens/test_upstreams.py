"""The hosts of upstreams under Pilot."""

import pytest

from tests.tui.scripted import Script, status, terminal
from tests.tui.staging import UPSTREAMS

HOST = "https://gpu-1.example:8443"


def script() -> Script:
    return Script(status(), upstreams_found=UPSTREAMS)


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_hosts_with_state_and_why(size: tuple[int, int]) -> None:
    async with terminal(script(), size=size) as opened:
        await opened.press("h")
        shown = await opened.wait("2 upstreams, 2 hosts, 2 asked")
        for words in ("+ ready", "! suspect", "! broken", "approved", "anna, ben"):
            assert words in shown, (words, shown)
        await opened.press("down")
        await opened.wait("0.118 away, 0.020 is tolerated")


async def test_probing_draining_and_reading_again() -> None:
    server = script()
    async with terminal(server, size=(120, 40)) as opened:
        await opened.press("h")
        await opened.wait("+ ready")
        for key, asked, told in (
            ("d", f"Drain {HOST} of large", f"{HOST} gets no new requests"),
            ("p", "Probe the hosts of large", f"large: {HOST} ready"),
            ("r", "POST /admin/upstreams/reload", "2 upstreams, 2 hosts"),
        ):
            await opened.press("a", key)
            await opened.wait(asked)
            await opened.press("y")
            await opened.wait(told)
            undo = f"Undo the draining of {HOST}"
            assert (undo in await opened.press("a")) is (key == "d")
            await opened.press("escape")
    assert server.calls == [
        ("drain_upstream", "large", HOST, True),
        ("probe_upstream", "large"),
        ("reload_upstreams",),
    ]


async def test_what_cannot_be_used_is_not_probed_and_a_viewer_changes_nothing() -> None:
    server = script()
    async with terminal(server, size=(120, 40)) as opened:
        await opened.press("h", "down", "down")
        await opened.wait("site-ca.pem")
        await opened.press("a", "d", "a", "p")
        await opened.refresh()
        assert "Drain https" not in opened.text and "POST" not in opened.text
    viewer = Script(status(role="viewer"), upstreams_found=UPSTREAMS)
    async with terminal(viewer) as opened:
        await opened.press("h")
        await opened.wait("+ ready")
        await opened.press("a", "d", "a", "r")
        await opened.refresh()
        assert "POST" not in opened.text


async def test_no_upstreams() -> None:
    async with terminal(Script(status())) as opened:
        await opened.press("h")
        await opened.wait("Add one in")
