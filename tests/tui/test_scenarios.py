"""A person's work, under Pilot and in a real terminal, against the real server and engine.

Rules: a step presses only what the screen before it names; it waits for words, never for a time.
One size in each driver is in the fast set for the two scenarios that say most; the rest is `slow`.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from appliance.datasets.directory import write
from tests.datasets.examples import dataset as labelled
from tests.datasets.examples import orders
from tests.smol import APPROVERS, ID, signed_artifact
from tests.system.conftest import Server, serving
from tests.tui.drivers import DRIVERS, Driver, expect

pytestmark = pytest.mark.timeout(1_200)  # many steps, and the host may be busy
CONFIG = """
[engine]
threads = 1
[models.default]
n_ctx = 2048
slots = 2
"""
SIZES = [(60, 20), (80, 24), (200, 60)]
FAST = {("pilot", (60, 20)), ("tmux", (80, 24))}
# Words of each screen that stay when the server is gone.
KEPT = {
    "1": "SERVING", "2": f"> {ID}", "3": "No requests", "4": "in the log", "5": "req/min",
    "6": "in all", "7": "0 tasks", "8": "0 evaluations", "9": "LEVEL", "0": "tampered",
}  # fmt: skip
ROLE_IS = "deps.resolve_role = lambda *_: {role}"
USER_IS = "deps.Person.name = '{name}'"
TAKES_ALL_FOR = """
import appliance.api.admin.deps as deps
from appliance.types import Role
{one}
from appliance.cli.main import main
main()
"""


def cases(*fast: tuple[str, tuple[int, int]]) -> list[object]:
    return [
        pytest.param(
            name, size, id=f"{name}-{size[0]}x{size[1]}",
            marks=[] if (name, size) in fast else [pytest.mark.slow],
        )
        for name in DRIVERS
        for size in SIZES
    ]  # fmt: skip


everywhere = pytest.mark.parametrize(("driver", "size"), cases())


@dataclass
class Site:
    server: Server
    stick: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, narrow_path: Path) -> Iterator[Site]:
    """One for all scenarios; each leaves it as it was, or imports under a name of its own."""
    with serving(tmp_path_factory.mktemp("site"), narrow_path, CONFIG) as server:
        stick = tmp_path_factory.mktemp("stick")
        signed_artifact(server.data, narrow_path, stick / "pump")
        bad = signed_artifact(server.data, narrow_path, stick / "tampered")
        (bad / "README").write_text("not signed")
        yield Site(server, stick)


@contextlib.asynccontextmanager
async def sitting(
    site: Site, driver: str, size: tuple[int, int], *, readonly: bool = False, state: str = "LIVE"
) -> AsyncIterator[Driver]:
    async with DRIVERS[driver](site.server.data, size, (site.stick,), readonly=readonly) as opened:
        await expect(opened, state)
        yield opened


@contextlib.asynccontextmanager
async def served_to(site: Site, role: str) -> AsyncIterator[None]:
    """The same server, which takes everybody for somebody with this role; only that is fake, since
    the person who runs the tests owns the data directory.
    """
    async with _taking_all_for(site, ROLE_IS.format(role=role)):
        yield


@contextlib.asynccontextmanager
async def _taking_all_for(site: Site, one: str) -> AsyncIterator[None]:
    server, program = site.server, site.server.program
    await asyncio.to_thread(server.end, signal.SIGTERM)
    try:
        server.program = ("-c", TAKES_ALL_FOR.format(one=one))
        await asyncio.to_thread(server.start)
        yield
        await asyncio.to_thread(server.end, signal.SIGTERM)
    finally:
        server.program = program
        await asyncio.to_thread(server.start)


async def back(at: Driver) -> None:
    """Escape, and wait until the screen in front is gone: a terminal sends the same for Escape and
    a key right after it as for Alt and that key.
    """
    await expect(at, "esc Back")
    await at.press("escape")
    await expect(at, without="esc Back")


async def find(at: Driver, words: str, key: str) -> None:
    """Narrow the list in front to these words; then its own keys, such as this one, are back."""
    await expect(at, "/ Filter")
    await at.press("slash")
    await expect(at, "words to look for")
    await at.type(words)
    await expect(at, f"> {words}"[:14])
    await at.press("enter")
    await expect(at, key)


@pytest.mark.parametrize(("driver", "size"), cases(*FAST))
async def test_every_screen_shows_the_real_appliance(
    site: Site, driver: str, size: tuple[int, int]
) -> None:
    async with sitting(site, driver, size) as at:
        await expect(at, "LAB", "SERVING", "tok", "? Help")
        await at.press("2")
        await expect(at, f"> {ID}", "+ serving", "signed by")
        await at.press("3")
        await expect(at, "No requests")
        await at.press("4")
        await expect(at, "in the log", "SEQ")
        await at.press("enter")
        await expect(at, "AUDIT ENTRY", "leaf hash")
        await back(at)
        await at.press("a", "v")
        await expect(at, "+ verified")
        await back(at)
        await at.press("a", "c")
        await expect(at, "esc Back", "appliance.")
        await back(at)
        await at.press("5")
        await expect(at, "> one", "req/min")
        await at.press("7")
        await expect(at, "No tasks.")
        await at.press("8")
        await expect(at, "No evaluations.")
        await at.press("9")
        await expect(at, "serving smol")
        await at.press("0")
        await expect(at, "[1 choose]", "pump", "tampered")
        await at.press("colon")
        await expect(at, "what do you want")
        await at.type("overv")
        await at.press("enter")
        await expect(at, "[1 Overview]")
        await at.press("question_mark")
        await expect(at, "HELP")
        await back(at)
        await expect(at, "[1 Overview]")


@everywhere
async def test_the_server_is_killed_and_comes_back_on_every_screen(
    site: Site, driver: str, size: tuple[int, int]
) -> None:
    async with sitting(site, driver, size) as at:
        for digit, words in KEPT.items():
            await at.press(digit)
            await expect(at, f"[{digit} ", words, "+ LIVE")
            await asyncio.to_thread(site.server.end, signal.SIGKILL)
            try:
                shown = await expect(at, "! DOWN", f"[{digit} ")
                assert "+ serving" not in shown.splitlines()[0]
                await expect(at, "! DOWN", "from the files", f"[{digit} ", words)
                if digit == "4":  # on this host, by the files
                    await at.press("a", "v")
                    await expect(at, "+ verified")
                    await back(at)
                if digit == "9":
                    await expect(at, "from the file")
            finally:
                await asyncio.to_thread(site.server.start)
            await at.press("r")
            await expect(at, "+ LIVE", f"[{digit} ", words)


@everywhere
async def test_a_live_request_is_seen_and_ended(
    site: Site, driver: str, size: tuple[int, int]
) -> None:
    wanted = {"model": ID, "prompt": "Count:", "max_tokens": 1_900, "ignore_eos": True}
    ended, left = threading.Event(), threading.Event()

    def ask() -> None:
        """Again until one was ended: an answer may be complete before."""
        with site.server.client() as client:
            while not left.is_set():
                answer = client.post("/completions", json=wanted)
                if "request_cancelled" in answer.text:
                    ended.set()
                    return

    asking = asyncio.create_task(asyncio.to_thread(ask))
    try:
        async with sitting(site, driver, size) as at:
            await at.press("3")
            for _ in range(5):
                await expect(at, "> one", "a Actions")
                await at.press("a", "c")
                await expect(at, "Cancel the request of one", "request_cancel", "y yes")
                await at.press("y")
                shown = await expect(at, "ended")
                if "ended already" not in shown:
                    break
            await expect(at, "No requests")
    finally:
        left.set()
        await asyncio.wait_for(asking, 120)
    assert ended.is_set()


@everywhere
async def test_a_key_is_made_and_revoked(site: Site, driver: str, size: tuple[int, int]) -> None:
    name = f"kiosk-{driver}-{size[0]}"
    async with sitting(site, driver, size) as at:
        await at.press("5")
        await expect(at, "> one", "a Actions")
        await at.press("a", "n")
        await expect(at, "Make an API key", "Name of the app", "enter next")
        await at.type(name)
        await at.press(*["enter"] * 8)
        await expect(at, "NEW SECRET", "Shown once", "esc I have saved it")
        await at.press("enter", "escape")
        await expect(at, without="NEW SECRET")
        await find(at, name, "a Actions")
        await expect(at, f"> {name}"[:14], "+ valid")
        await at.press("a", "x")
        await expect(at, "cannot be undone", "Type the name")
        await at.press("enter")
        await expect(at, f"Type {name} to go on.")
        await at.type(name)
        await at.press("enter")
        await expect(at, f"{name} is revoked", "! revoked")
    (key,) = [k for k in site.server.command("key", "list")["keys"] if k["name"] == name]
    assert key["revoked"]


@everywhere
async def test_who_may_only_look_is_offered_nothing(
    site: Site, driver: str, size: tuple[int, int]
) -> None:
    async def nothing_is_offered(at: Driver, role: str = "") -> None:
        await at.press("2")
        await expect(at, f"> {ID}", "/ Filter")
        await at.press("a")
        await expect(at, "esc Back", "it takes the role admin" if role else "read-only")
        await at.press("s", "u")  # nothing
        await back(at)
        await at.press("question_mark")
        shown = await expect(at, "HELP", "esc Back")
        assert "Suspend" not in shown and "Unload" not in shown
        await back(at)
        await at.press("0")
        await expect(at, "[1 choose]", "pump")
        await at.press("a")
        await expect(at, "Look in a directory", "it takes the role admin" if role else "read-only")
        await back(at)

    async with sitting(site, driver, size, readonly=True) as at:
        await nothing_is_offered(at)
    async with served_to(site, "Role.VIEWER"), sitting(site, driver, size) as at:
        await nothing_is_offered(at, "viewer")
    async with served_to(site, "None"), sitting(site, driver, size, state="! DENIED") as at:
        await expect(at, "has no role", "no data yet")
        for digit in "2345":
            await at.press(digit)
            await expect(at, f"[{digit} ", "! DENIED")


@everywhere
async def test_two_people_label_blind(site: Site, driver: str, size: tuple[int, int]) -> None:
    name = f"orders-{driver}-{size[0]}"
    dataset = site.stick.parent / name
    items = [replace(item, expected=None) for item in orders(2)]
    write(dataset, labelled(items))
    raters = ("--rater", "anna", "--rater", "ben")
    site.server.command("label", "new", str(dataset), *raters, "--label", "hose", "--label", "pump")
    for rater, keys in (("anna", "11"), ("ben", "12")):
        one = USER_IS.format(name=rater)
        async with _taking_all_for(site, one), sitting(site, driver, size) as at:
            await at.press("t")
            await find(at, name, "a Actions")
            await at.press("a", "l")
            for number, key in enumerate(keys):
                await expect(at, rater, f"{number} of 2 done", "1  hose", "2  pump")
                await at.press(key, "enter")
            await expect(at, "You have labelled all")
            await back(at)
            if rater == "ben":
                await expect(at, "a Actions", "- done", "kappa 0.00")
                await at.press("a", "d")
                await expect(at, "anna: hose  ben: pump", "1 left")
                await at.press("2", "enter")
                await expect(at, "No differences are left.")
    assert site.server.command("label", "show", name)["unsettled"] == 0
    site.server.command("label", "remove", name)


# Last, since the models that it adds stay in the lists of the same appliance.
@pytest.mark.parametrize(("driver", "size"), cases(("tmux", (80, 24))))
async def test_import_approve_and_serve_from_a_stick(
    site: Site, driver: str, size: tuple[int, int]
) -> None:
    name = f"pump-{driver}-{size[0]}"
    lab = site.server.data / "keys" / "lab"
    async with sitting(site, driver, size) as at:
        await expect(at, "? Help")
        await at.press("question_mark")
        await expect(at, "esc Back", "HELP")
        await expect(at, "Import")
        await back(at)
        await at.press("0")
        await expect(at, "[1 choose]", "pump", "tampered", "Enter checks")
        await find(at, "tampered", "a Actions")
        await at.press("enter")
        await expect(at, "! refused", "file_", "Esc chooses another")
        await at.press("escape")
        await expect(at, "[1 choose]")
        await at.press("escape")
        await expect(at, "pump", "tampered")
        await find(at, "pump", "a Actions")
        await at.press("enter")
        await expect(at, "Next: a i imports it", "[3 import]")
        await at.press("a", "i")
        await expect(at, "Import pump", "Id in the store", "enter next")
        await at.press("ctrl+u")
        await at.type(name)
        await at.press("enter")
        for number, person in enumerate(APPROVERS):
            await expect(at, f"({number} of 2)", "Next: a a approves")
            await at.press("a", "a")
            await expect(at, "Name, as in the policy", "enter next")
            await at.press("ctrl+u")
            await at.type(person)
            await at.press("enter", "ctrl+u")
            await at.type(str(lab / f"{person}.pem"))
            await at.press("enter")
            await at.type("fit for use")
            await at.press("enter")
        await expect(at, "a l loads it.")
        await at.press("a", "l")
        await expect(at, f"Load {name}", "y yes")
        await at.press("y")
        await expect(at, "[6 done]", "Next: Apps call it")
    shown = site.server.command("model", "show", name)
    assert shown["loaded"] and {a["name"] for a in shown["approvals"]} == set(APPROVERS)
    with site.server.client() as app:
        answer = app.post("/completions", json={"model": name, "prompt": "2", "max_tokens": 2})
    assert answer.status_code == 200, answer.text
    site.server.command("model", "unload", name)
