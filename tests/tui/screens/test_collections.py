"""The collections under Pilot."""

import pytest

from appliance.errors import Unavailable
from appliance.types import Role
from appliance.wire.admin.collections import COLLECTION
from tests.tui.scripted import Script, job, shelf, status, terminal
from tests.tui.staging import PASSAGES, REPORTED


def script(**changes: object) -> Script:
    ingest = job(21, kind="ingest", state="done", title="manuals into manuals")
    made = Script(status(**changes), shelves=[shelf("manuals"), shelf("rules")])
    made.jobs_found, made.reported, made.passages_found = [ingest], REPORTED, PASSAGES
    return made


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_documents_their_readers_and_what_was_refused(size: tuple[int, int]) -> None:
    async with terminal(script(), size=size) as opened:
        await opened.press("c")
        shown = await opened.wait("scan.pdf")
        for words in ("> manuals", "vectors", "- done", "2 collections, 4 documents", "rules"):
            assert words in shown, (words, shown)
        for words in ("old/fax.pdf", "document_unreadable", "group:fitters", "no app"):
            assert words in shown, (words, shown)
        assert "empty_pages" in shown


async def test_documents_are_asked_for_once_for_each_generation() -> None:
    asked: list[str] = []

    class Counting(Script):
        def answer(self, at, request, names, report):  # type: ignore[no-untyped-def]
            if at == COLLECTION:
                asked.append(names["name"])
            return super().answer(at, request, names, report)

    made = Counting(status(), shelves=[shelf("manuals")])
    async with terminal(made) as opened:
        await opened.press("c")
        for generation in (8, 9):
            while not asked:  # a poll that begins before the answer is there asks again
                await opened.refresh()
            await opened.refresh()
            asked.clear()
            for _ in range(4):
                await opened.refresh()
            assert asked == []
            made.shelves = [shelf("manuals", generation=generation)]


async def test_a_search_shows_passages_with_their_places() -> None:
    made = script()
    async with terminal(made) as opened:
        await opened.press("c")
        await opened.wait("scan.pdf")
        await opened.press("enter", "enter")
        assert made.calls == []
        await opened.press(*"relief valve", "enter")
        shown = await opened.wait("opens at 12 bar")
        assert "1. pump-7.pdf" in shown and "page 12" in shown and "from byte 900" in shown
        assert made.calls == [("search", "manuals", "relief valve")]
        await opened.press("escape")
        assert "scan.pdf" in await opened.refresh()


async def test_what_is_refused_is_said() -> None:
    made = script()
    async with terminal(made) as opened:
        await opened.press("c")
        await opened.wait("scan.pdf")
        made.refused["search"] = Unavailable("model_unavailable", "The embedder is not there.")
        await opened.press("a", "s", "x", "enter")
        await opened.wait("The embedder is not there.")


async def test_only_an_admin_searches_and_a_viewer_sees_no_documents() -> None:
    made = script(role=Role.VIEWER)
    async with terminal(made) as opened:
        await opened.press("c")
        shown = await opened.refresh()
        assert "manuals" in shown and "scan.pdf" not in shown
        await opened.press("a", "s", "enter", "x", "enter")
        assert made.calls == []


async def test_an_empty_list() -> None:
    async with terminal(Script()) as opened:
        await opened.press("c")
        assert "appliance collection new" in await opened.refresh()
