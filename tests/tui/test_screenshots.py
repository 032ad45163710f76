"""The pictures in docs/img are what the program draws: two states of each screen."""

import importlib.util
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console
from textual._compositor import CompositorUpdate
from textual.app import App

from tests.conftest import CHECKOUT
from tests.tui.staging import Scene, scenes, staged
from tui.app import PAGES

pytestmark = pytest.mark.long

DOCS = CHECKOUT / "docs"
PAINT = 12_000
"""Bytes that painting a screen of 80 columns and 24 lines may take."""


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
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


@pytest.mark.swept
@pytest.mark.parametrize("scene", scenes(), ids=lambda scene: scene.name)
async def test_a_basic_terminal_gets_ascii_in_few_bytes(
    scene: Scene, record_property: Callable[[str, object], None]
) -> None:
    async with staged(scene, (200, 60), basic=True) as opened:
        await opened.pilot.resize_terminal(80, 24)
        await opened.pilot.pause()
        plain = opened.text.replace("…", "")  # the mark of a text that was cut is not yet
        assert plain.isascii() or scene.name == "audit-checkpoint", plain  # a dash of the log's
        painted = len(whole_paint(opened.app).encode())
        record_property("bytes", painted)
        assert 1_000 < painted <= PAINT


def whole_paint(app: App[None]) -> str:
    """All that is sent to paint the screen in front. Textual has no public way to get at it."""
    update: Any = app.screen._compositor.render_update(full=True)
    assert isinstance(update, CompositorUpdate)
    console = Console(force_terminal=True, color_system="truecolor", legacy_windows=False)
    painted: str = update.render_segments(console)
    return painted
