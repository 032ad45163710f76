"""What a person does, under Pilot and in a real terminal, against the real server and engine.

One scenario in each driver is in the fast set; all sizes are `slow`.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.smol import APPROVERS, ID, signed_artifact
from tests.system.conftest import Server, serving
from tests.tui.drivers import DRIVERS, Driver, expect

CONFIG = """
[engine]
threads = 1
[models.default]
n_ctx = 256
slots = 2
"""
SIZES = [(60, 20), (80, 24), (120, 40)]
FAST = {("pilot", (80, 24)), ("tmux", (80, 24))}
CASES = [
    pytest.param(
        name, size, id=f"{name}-{size[0]}x{size[1]}",
        marks=[] if (name, size) in FAST else [pytest.mark.slow],
    )
    for name in DRIVERS
    for size in SIZES
]  # fmt: skip


@dataclass
class Site:
    """The real server, and a stick with two signed artifacts."""

    server: Server
    stick: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, default_model_path: Path) -> Iterator[Site]:
    """One for all scenarios; each leaves it as it was, or imports under a name of its own."""
    with serving(tmp_path_factory.mktemp("site"), default_model_path, CONFIG) as server:
        stick = tmp_path_factory.mktemp("stick")
        signed_artifact(server.data, default_model_path, stick / "pump")
        bad = signed_artifact(server.data, default_model_path, stick / "tampered")
        (bad / "README").write_text("not signed")
        yield Site(server, stick)


@contextlib.asynccontextmanager
async def sitting(
    site: Site, driver: str, size: tuple[int, int], *, readonly: bool = False
) -> AsyncIterator[Driver]:
    async with DRIVERS[driver](site.server.data, size, (site.stick,), readonly=readonly) as opened:
        await expect(opened, "LIVE")
        yield opened


async def find(at: Driver, words: str, key: str) -> None:
    """Narrow the list in front to these words; then its own keys, such as this one, are back."""
    await at.press("slash")
    await expect(at, "words to look for")
    await at.type(words)
    await expect(at, f"> {words}"[:14])
    await at.press("enter")
    await expect(at, key)


@pytest.mark.parametrize(("driver", "size"), CASES)
async def test_every_screen_shows_the_real_appliance(
    site: Site, driver: str, size: tuple[int, int]
) -> None:
    async with sitting(site, driver, size) as at:
        await expect(at, "LAB", "LOAD", "tok")
        await at.press("2")
        await expect(at, f"> {ID}", "+ serving")
        await at.press("3")
        await expect(at, "no requests")
        await at.press("4")
        await expect(at, "in the log", "SEQ")
        await at.press("enter")
        await expect(at, "AUDIT ENTRY", "leaf hash")
        await at.press("escape", "v")
        await expect(at, "+ verified")
        await at.press("escape", "5")
        await expect(at, "> one", "req/min")
        await at.press("9")
        await expect(at, "serving smol")
        await at.press("colon")
        await expect(at, "COMMAND")
        await at.type("overv")
        await at.press("enter")
        await expect(at, "[1 Overview]")
        await at.press("question_mark")
        await expect(at, "WHAT IT DOES")
        await at.press("escape")
        await expect(at, "[1 Overview]")


# Last, since the model that it adds stays in the lists of the same appliance.
@pytest.mark.parametrize(("driver", "size"), [("pilot", (80, 24))])
async def test_import_approve_and_serve_from_a_stick(
    site: Site, driver: str, size: tuple[int, int]
) -> None:
    """The walk-through: nothing is used but what is on the screen."""
    name = f"pump-{driver}-{size[0]}"
    lab = site.server.data / "keys" / "lab"
    async with sitting(site, driver, size) as at:
        await at.press("0")
        await expect(at, "[1 choose]", "pump", "tampered")
        await find(at, "tampered", "Directory")
        await at.press("enter")
        await expect(at, "! refused", "file_")
        await at.press("escape")
        await expect(at, "[1 choose]")
        await at.press("escape")
        await expect(at, "pump", "tampered")
        await find(at, "pump", "Directory")
        await at.press("enter")
        await expect(at, "Next: I imports it", "[3 import]")
        await at.press("I")
        await expect(at, "Import pump", "records")
        await at.press("ctrl+u")
        await at.type(name)
        await at.press("enter")
        for number, person in enumerate(APPROVERS):
            await expect(at, f"({number} of 2)")
            await at.press("A")
            await expect(at, f"Approve {name}")
            await at.press("ctrl+u")
            await at.type(person)
            await at.press("enter", "ctrl+u")
            await at.type(str(lab / f"{person}.pem"))
            await at.press("enter")
            await at.type("fit for use")
            await at.press("enter")
        await expect(at, "Next: L loads it.")
        await at.press("L")
        await expect(at, f"Load {name}")
        await at.press("y")
        await expect(at, "[6 done]", "Next: Apps call it")
    shown = site.server.command("model", "show", name)
    assert shown["loaded"] and {a["name"] for a in shown["approvals"]} == set(APPROVERS)
    site.server.command("model", "unload", name)
