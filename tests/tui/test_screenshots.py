"""The pictures in docs/img are what the program draws: two states of each screen."""

import importlib.util
from types import ModuleType

import pytest

from tests.conftest import CHECKOUT
from tests.tui.staging import Scene, scenes, staged
from tui.app import PAGES

pytestmark = pytest.mark.long

DOCS = CHECKOUT / "docs"


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    """The script that draws."""
    spec = importlib.util.spec_from_file_location("docs_screenshots", DOCS / "screenshots.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.swept
@pytest.mark.parametrize("scene", scenes(), ids=lambda scene: scene.name)
async def test_a_picture_is_current(drawing: ModuleType, scene: Scene) -> None:
    drawn = await drawing.draw(scene)
    assert drawn == (DOCS / "img" / f"{scene.name}.svg").read_text(encoding="utf-8")


def test_each_screen_has_two() -> None:
    names = [scene.name for scene in scenes()]
    for page in PAGES:
        name = page.TITLE.lower()
        found = [n for n in names if n == name or n.startswith(f"{name}-")]
        assert len(found) >= (1 if name == "start" else 2), name
    assert {path.stem for path in (DOCS / "img").glob("*.svg")} == set(names)


@pytest.mark.slow  # every scene again; that a basic terminal has other signs is in its own tests
async def test_in_a_basic_terminal_every_scene_is_ascii() -> None:
    for scene in scenes():
        if scene.name == "audit-checkpoint":
            continue  # its note has a dash that the log wrote
        async with staged(scene, (80, 24), basic=True) as opened:
            plain = opened.text.replace("…", "")  # the mark of a text that was cut is not yet
            assert plain.isascii(), (scene.name, plain)
