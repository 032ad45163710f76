"""A log of a million real entries under the screens: a page at a time, and never more.

The log is made by the benchmarks' builder; the server is the real admin app on it.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.api.admin.app import create_admin_app
from appliance.api.admin.private import serve_in_thread
from appliance.app import open_services
from appliance.audit.reader import LogReader
from appliance.client import AdminClient, socket_path
from appliance.wire.admin.models import EntryList
from benchmarks.audit import large
from tests.api.admin.lab import make_lab
from tests.tui.scripted import terminal
from tui.screens.audit import PAGE, AuditPage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]
ROWS = 1_000_000


class Counting(AdminClient):
    """Counts the entries that came over the socket at once, at most."""

    most = 0

    def answer(self, at, *given):  # type: ignore[no-untyped-def]
        found = super().answer(at, *given)
        if isinstance(found, EntryList):
            self.most = max(self.most, len(found.entries))
        return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """It is large, so it is removed at the end."""
    lab = make_lab(tmp_path_factory.mktemp("m"))
    origin = LogReader(lab.data / "audit").origin
    shutil.rmtree(lab.data / "audit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large, "ORIGIN", origin)  # the log of this data directory
        large.build(lab.data / "audit", ROWS)
    path = socket_path(lab.data)
    with open_services(lab.data) as services, serve_in_thread(create_admin_app(services), path):
        yield lab.data
    shutil.rmtree(lab.data / "audit")


async def test_a_million_entries_are_paged_searched_and_never_held(data: Path) -> None:
    with Counting(socket_path(data), answer_seconds=60) as client:
        async with terminal(client, data=data, size=(100, 30)) as opened:
            await opened.press("4")
            shown = await opened.wait("page 1")
            assert "in the log" in shown
            newest = _page(opened.app.page)[0]
            for page in range(2, 5):
                await opened.press("right_square_bracket")
                await opened.wait(f"page {page}")
                assert _page(opened.app.page) == list(
                    range(newest - (page - 1) * PAGE, newest - page * PAGE, -1)
                )
            await opened.press("slash")
            await opened.type("500000")
            await opened.press("enter")
            await opened.wait(">    500000")
            await opened.press("slash", "ctrl+u")
            await opened.type("kind=outcome app=app-07")
            await opened.press("enter")
            await opened.wait("search 'kind=outcome")
            await opened.refresh()
            found = opened.app.page
            assert isinstance(found, AuditPage)
            assert all(e.body["app"] == "app-07" for e in found.items()) and found.items()
            assert len(found.items()) <= PAGE
        assert 0 < client.most <= PAGE


def _page(page: object) -> list[int]:
    assert isinstance(page, AuditPage)
    return [entry.seq for entry in page.items()]
