"""The pictures in docs/img are what the program draws."""

import importlib.util

from tests.conftest import CHECKOUT


async def test_the_picture_of_the_overview_is_current() -> None:
    docs = CHECKOUT / "docs"
    spec = importlib.util.spec_from_file_location("docs_screenshots", docs / "screenshots.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    drawn = await module.draw(module.OVERVIEW)
    assert "file_changed" in drawn
    assert drawn == (docs / "img" / "overview.svg").read_text(encoding="utf-8")
