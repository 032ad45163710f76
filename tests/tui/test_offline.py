"""The screens when no server runs: what the files say, or that it is not known."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from rich.color_triplet import ColorTriplet

from appliance.client import AdminClient, socket_path
from appliance.errors import Refused
from appliance.types import Report, silent
from appliance.wire.admin.models import AUDIT_ENTRIES, STATUS, EntryQuery
from appliance.wire.admin.trust import TRUST
from appliance.wire.admin.usage import LOAD
from tests.api.admin.lab import APPROVERS, LabData, make_lab
from tests.cli.conftest import run_command
from tests.tui.scripted import DOWN, Script, Terminal, Told, entry, key, model, status, terminal
from tui.command import Commands
from tui.offline import Offline

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> LabData:
    made = make_lab(tmp_path_factory.mktemp("tui"))
    assert run_command("model", "import", made.artifact("tiny"), data=made.data).status == 0
    for name in APPROVERS:
        words = ("--as", name, "--key", made.key(name), "--meaning", "fit for use")
        assert run_command("model", "approve", "tiny", *words, data=made.data).status == 0
    assert run_command("key", "create", "kiosk", data=made.data).status == 0
    return made


class Here(Commands):
    """The same commands in this process: as a process of its own each takes seconds to start."""

    def run(
        self,
        *arguments: str,
        report: Report = silent,
        data: bool = True,
        refused_is_data: bool = False,
    ) -> Any:
        done = run_command(*arguments, "--json", data=self._data)
        assert done.status == 0, done.err
        return done.document


async def test_without_a_server_a_process_reads_the_files(lab: LabData) -> None:
    with AdminClient(socket_path(lab.data)) as client:
        async with terminal(client, data=lab.data, commands=Commands(lab.data)) as opened:
            shown = await opened.wait("read from the files", 120)
            assert shown.startswith(" ! DOWN  read from the files")
            await opened.wait("tiny", 120)


async def test_without_a_server_the_screens_say_what_the_files_say(lab: LabData) -> None:
    entries = run_command("status", "--json", data=lab.data).document["audit"]["entries"]
    with AdminClient(socket_path(lab.data)) as client:
        async with terminal(client, data=lab.data, commands=Here(lab.data)) as opened:
            await opened.wait("read from the files", 120)
            await opened.press("2")
            await opened.wait("> tiny")
            await opened.wait("approver-1", 120)
            await opened.press("5")
            assert "+ valid" in await opened.wait("> kiosk", 120)
            await opened.press("4")
            assert re.search(rf"> +{entries - 1} ", await opened.wait("key_create", 120))
            await opened.press("3")
            await opened.wait("No requests", 120)
            await opened.press("6")
            await opened.wait("import", 120)
            for digit, words in (
                ("7", "No tasks."),
                ("8", "No evaluations."),
                ("t", "No label queues."),
            ):
                await opened.press(digit)
                await opened.wait(words, 120)


async def test_what_cannot_be_read_is_not_called_empty() -> None:
    no = Refused("file_unusable", "Permission denied.")
    told = Told(status=no, key_list=no, audit_search=no, model_show=no, job_list=no, label_list=no)
    async with terminal(Script(error=DOWN), commands=told) as opened:
        for digit in "2345678t":
            await opened.press(digit)
            shown = await opened.wait("Not known: no server answers.")
            for lie in (
                "No key",
                "No model",
                "No entries",
                "No requests",
                "0 entries",
                "page 1",
                "0 jobs",
                "0 tasks",
                "0 evaluations",
                "No label queues",
            ):
                assert lie not in shown, (digit, lie)


async def test_a_list_that_is_empty_says_how_to_fill_it() -> None:
    async with terminal(Script()) as opened:  # positive control: here it is known
        await opened.press("5")
        await opened.wait("Press enter to make one")


def greens(opened: Terminal) -> list[str]:
    return [
        segment.text
        for strip in opened.app.screen._compositor.render_strips()
        for segment in strip
        if segment.text.strip() and segment.style is not None and segment.style.color is not None
        and is_green(segment.style.color.get_truecolor())
    ]  # fmt: skip


def is_green(color: ColorTriplet) -> bool:
    return color.green > color.red + 30 and color.green > color.blue + 30


async def test_nothing_that_is_stale_is_green_and_the_connection_comes_first() -> None:
    now = [100.0]
    served = model("pump", "serving", loaded=True)
    script = Script(
        status(state="serving", models=[served]),
        keys_found=[key("one")],
        entries=[entry(0)],
    )
    no = Refused("data_locked", "Another process holds it.")
    told = Told(status=no, key_list=no, audit_search=no, model_show=no)
    async with terminal(script, clock=lambda: now[0], commands=told, size=(100, 30)) as opened:
        assert any("serving" in text for text in greens(opened))  # positive control
        script.error = DOWN  # a kill
        now[0] += 7
        for digit in "1235":
            await opened.press(digit)
            shown = await opened.refresh()
            assert shown.startswith(" ! DOWN  data 7 s old"), digit
            assert "was serving" in shown.splitlines()[0]
            assert greens(opened) == [], digit
        script.error = None
        await opened.refresh()
        await opened.press("1")
        assert any("serving" in text for text in greens(opened))


async def test_the_files_are_read_once_for_each_question_and_not_by_a_clock() -> None:
    told = Told(status=status(state="stopped").model_dump(), key_list={"keys": []})
    async with terminal(Script(error=DOWN), commands=told, period=0.05) as opened:
        await opened.wait("read from the files")
        await opened.press("5")
        await opened.wait("Press enter to make one")
        before = list(told.ran)
        for _ in range(3):
            await asyncio.wait_for(opened.app.polled.get(), 30)
        assert told.ran == before == [("status",), ("key", "list")]
        await opened.press("r")
        await opened.wait("read from the files")
        assert told.ran[2:] == [("status",), ("key", "list")]


async def test_the_next_entry_comes_from_the_files(tmp_path: Path) -> None:
    told = Told(
        status=status(state="stopped").model_dump(),
        audit_search={"entries": [entry(1, event="later").model_dump()]},
        audit_show=entry(0, event="first").model_dump(),
    )
    async with terminal(Script(error=DOWN), commands=told) as opened:
        await opened.press("4")
        await opened.wait("later")
        await opened.press("enter", "right_square_bracket")
        await opened.wait("first")
    assert ("audit", "show", "0") in told.ran


async def test_a_server_that_is_back_is_believed_again() -> None:
    script = Script(error=DOWN)
    told = Told(status=status(state="stopped").model_dump())
    async with terminal(script, commands=told) as opened:
        await opened.wait("read from the files")
        script.error, script.found = None, status(state="serving")
        shown = await opened.refresh()
        assert "+ LIVE" in shown and "+ serving" in shown and "files" not in shown


async def test_a_host_without_an_appliance_runs_no_command(tmp_path: Path) -> None:
    told = Told()
    async with terminal(Script(error=DOWN), commands=told, data=tmp_path) as opened:
        await opened.refresh()
        assert told.ran == []


def test_a_search_has_the_words_of_the_command() -> None:
    told = Told(audit_search={"entries": []})
    query = EntryQuery(request_id="r", key_id="k", before=9, order="newest", limit=5)
    Offline(told).call(AUDIT_ENTRIES, query)
    (words,) = told.ran
    assert words[:3] == ("audit", "search", "--newest")
    pairs: dict[str, Any] = dict(zip(words[3::2], words[4::2], strict=True))
    assert pairs == {"--request": "r", "--key": "k", "--before": "9", "--limit": "5"}


def test_what_the_files_do_not_say_is_refused() -> None:
    offline = Offline(Told(status={"nonsense": 1}))
    with pytest.raises(Refused):
        offline.call(LOAD)
    with pytest.raises(Refused):
        offline.call(TRUST)
    with pytest.raises(Exception, match="something unknown"):
        offline.call(STATUS)
