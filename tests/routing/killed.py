"""A calibration that is ended by kill -9, for tests:

    python -m tests.routing.killed DATA SPECIFICATION POINT

POINT is `look`, when the look is in the ledger and nothing was opened, or `batch`, when the first
answers to sealed items are durable.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from appliance.app import Services, open_services
from appliance.datasets.ledger import LookLedger
from appliance.looks.sealed_lines import SealedLines
from appliance.routing.calibration import SEALED
from tests.smol import SMALL


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _arm(point: str) -> None:
    take, append = LookLedger.take, SealedLines.append

    def taken(self: LookLedger, *arguments: Any) -> Any:
        found = take(self, *arguments)
        if point == "look":
            _end()
        return found

    def appended(self: SealedLines, lines: Any) -> None:
        append(self, lines)
        if point == "batch" and self._path.name == SEALED:
            _end()

    setattr(LookLedger, "take", taken)  # noqa: B010  # a method, which an assignment must not replace
    setattr(SealedLines, "append", appended)  # noqa: B010


async def _calibrate(services: Services, specification: str) -> None:
    await services.jobs.serve()  # as a server: the next one resumes what is left
    live = await services.jobs.start("route", {"specification": specification}, "uid:0")
    await live.outcome()


def main(data: str, specification: str, point: str) -> None:
    _arm(point)
    with open_services(Path(data), config=SMALL) as services:
        asyncio.run(_calibrate(services, Path(specification).read_text()))


if __name__ == "__main__":
    main(*sys.argv[1:])
