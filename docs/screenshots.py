"""Draws docs/img/overview.svg: the operator's overview of an appliance with a refused model.

Rules: the program itself draws, at 80 columns and 24 lines, from a made-up status; nothing is
touched up. Run `.venv/bin/python docs/screenshots.py` after changing `tui/`.
"""

import asyncio
import re
from pathlib import Path
from typing import Final

from appliance.errors import CODES
from appliance.wire.admin import Status
from tui.app import OperatorApp

IMAGES = Path(__file__).parent / "img"
_NEVER = 3_600.0
_FONT_FACES = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
_MODEL: Final = "smollm2-135m"

OVERVIEW: Final = Status.model_validate(
    {
        "version": "0.1.0",
        "profile": "lab",
        "state": "serving",
        "role": "admin",
        "data": "/srv/appliance",
        "uptime_seconds": 93_600,
        "models": [
            {"id": _MODEL, "state": "serving", "digest": "8c1f03be5d7a94e2" * 4, "loaded": True},
            {
                "id": "pump-manual-1b",
                "state": "refused",
                "digest": "41e7a0c9d2b86f35" * 4,
                "code": "file_changed",
                "message": "model.gguf is not the file that was signed.",
                "hint": CODES["file_changed"].hint,
            },
            {"id": "triage-notes", "state": "verified", "digest": "f09b6672ce1d4a83" * 4},
        ],
        "workers": [
            {
                "model": _MODEL,
                "digest": "8c1f03be5d7a94e2" * 4,
                "pid": 20731,
                "state": "ready",
                "n_ctx": 8192,
                "slots": 8,
                "running": 3,
                "queued": 1,
                "kv_used": 2540,
                "restarts": 0,
                "confinement": {},
                "variant": "haswell",
                "memory_mib": 412,
            }
        ],
        "audit": {"entries": 18_204, "root": "5be2c07d91fa3864" * 4},
        "host": {
            "cpu": "x86-64 processor",
            "cores": 8,
            "memory": 32 << 30,
            "memory_available": 21 << 30,
            "kernel": "6.12",
            "seccomp": True,
            "landlock_abi": 6,
            "disk_free": 300 << 30,
        },
        "alarms": [],
    }
)


async def draw(status: Status) -> str:
    """The overview as an SVG that asks no other host for a font."""
    app = OperatorApp(lambda: status, Path(status.data), period=_NEVER)
    async with app.run_test(size=(80, 24)) as pilot:
        while not app.screen.query_one("#models").display:
            await pilot.pause()
        await pilot.pause()
        return _FONT_FACES.sub("", app.export_screenshot(title="appliance tui"))


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / "overview.svg").write_text(asyncio.run(draw(OVERVIEW)), encoding="utf-8")
