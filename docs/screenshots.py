"""Draws docs/img/*.svg: the operator's screens of a made-up appliance.

Rules: the program itself draws, at 100 columns and 30 lines, from made-up answers of a server;
nothing is touched up. Run `.venv/bin/python docs/screenshots.py` after changing `tui/`. With
`--all DIR` every scene is drawn to a directory outside the tree, in three sizes and two palettes,
to be looked at; with `--png` as PNG too, by rsvg-convert (Debian: librsvg2-bin, and
fonts-freefont-otf, whose braille is as wide as its letters).
"""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.tui.scripted import Terminal
from tests.tui.staging import Scene, scenes, staged
from tui import theme

IMAGES = Path(__file__).parent / "img"
SIZE: Final = (100, 30)
SIZES: Final = ((80, 24), (120, 40), (200, 60))
PALETTES: Final = ("dark", "light")
_FONT_FACES = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)

_INDENTED = re.compile(
    r'(?P<head><text [^>]*?)x="(?P<x>[\d.]+)"(?P<y>[^>]*?)textLength="(?P<length>[\d.]+)"'
    r"(?P<tail>[^>]*>)(?P<blanks>(?:&#160;)+)"
)
_CELL: Final = 12.2


async def draw(scene: Scene) -> str:
    """One screen as an SVG that asks no other host for a font."""
    async with staged(scene, SIZE) as opened:
        return _drawn(opened, scene)


def _drawn(opened: Terminal, scene: Scene) -> str:
    svg = opened.app.export_screenshot(title=f"appliance tui: {scene.title}")
    svg = re.sub(r"terminal-\d+", "terminal", _FONT_FACES.sub("", svg))
    return _INDENTED.sub(_moved, svg)


def _as_wide(svg: str) -> str:
    """Letters as wide as their cells: not every program that draws SVG spreads them."""
    return svg.replace("font-size: 20px", "font-size: 20.265px")


def _moved(found: "re.Match[str]") -> str:
    """Leading blanks as a place: not every program that draws SVG keeps them."""
    blanks = found["blanks"].count(";")
    at, length = float(found["x"]) + blanks * _CELL, float(found["length"]) - blanks * _CELL
    return f'{found["head"]}x="{at:g}"{found["y"]}textLength="{length:g}"{found["tail"]}'


async def _draw_all() -> None:
    for scene in scenes():
        (IMAGES / f"{scene.name}.svg").write_text(await draw(scene), encoding="utf-8")


async def _draw_sizes(place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for scene in scenes():
        async with staged(scene, SIZES[-1]) as opened:
            for width, height in SIZES:
                await opened.pilot.resize_terminal(width, height)
                while opened.app.screen.size != (width, height):
                    await opened.pilot.pause()
                for palette in PALETTES:
                    opened.app.theme = theme.PALETTES[palette].name
                    await opened.refresh()
                    await opened.pilot.pause()
                    name = f"{scene.name}-{width}x{height}-{palette}.svg"
                    (place / name).write_text(_as_wide(_drawn(opened, scene)), encoding="utf-8")


def _picture(image: Path) -> None:
    picture = image.with_suffix(".png")
    subprocess.run(["rsvg-convert", "-o", picture, image], check=True)


if __name__ == "__main__":
    if "--all" in sys.argv:
        place = Path(sys.argv[sys.argv.index("--all") + 1])
        asyncio.run(_draw_sizes(place))
        for image in sorted(place.glob("*.svg")) if "--png" in sys.argv else ():
            _picture(image)
    else:
        IMAGES.mkdir(exist_ok=True)
        asyncio.run(_draw_all())
