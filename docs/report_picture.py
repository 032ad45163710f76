"""Draws docs/img/report.png: the first screen of an evaluation's report, by headless Chromium.

Rules: the page is one that the product wrote, as `make tour` leaves it; nothing is touched up. Run
`.venv/bin/python docs/report_picture.py .tour/evaluation.html` (Debian: chromium).
"""

import argparse
import base64
import shutil
import sys
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.browser import chromium

TARGET = Path(__file__).parent / "img" / "report.png"
SIZE: Final = (1024, 1400)


def draw(page: Path) -> bytes:
    """The picture, PNG. Raises RuntimeError when the browser cannot draw it."""
    program = shutil.which("chromium")
    if program is None:
        raise RuntimeError("chromium is needed")
    width, height = SIZE
    with chromium(program) as tab:
        tab.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        tab.open(page.absolute().as_uri(), "footer p")
        return base64.b64decode(tab.command("Page.captureScreenshot", format="png")["data"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="docs/report_picture.py")
    parser.add_argument("report", type=Path, help="the HTML file of an evaluation")
    TARGET.write_bytes(draw(parser.parse_args().report))
