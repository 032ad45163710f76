"""A server that brings documents in until it is killed; it is started again and again.

usage: python -m tests.system.ingest_kills DATA DOCUMENTS
"""

import asyncio
import sys
from pathlib import Path

from appliance.app import open_services
from appliance.jobs.states import JobState
from appliance.retrieval.collection import Settings


async def run(data: Path, documents: Path) -> None:
    """Start or resume the ingest; say so, and end when it is done."""
    with open_services(data) as services:
        library = services.retrieval.library
        if "c" not in library.names():
            library.create("c", Settings())
        await services.jobs.serve()
        if not await services.jobs.newest(1):
            params = {"collection": "c", "path": str(documents), "access": ["everyone"]}
            await services.jobs.start("ingest", params, "uid:0")
        sys.stdout.write("at work\n")
        sys.stdout.flush()
        while (await services.jobs.newest(1))[0].job.state is not JobState.DONE:
            await asyncio.sleep(0.05)
        await services.jobs.close()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), Path(sys.argv[2])))
