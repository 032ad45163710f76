"""A server that answers the batches of a data directory and is ended by kill -9, for tests:

    python -m tests.batches.killed DATA EVENT

EVENT counts what is written: an entry before and after it is durable, a line's answer before and
after it is kept, a step of a batch before and after it is noted. -1 lets it come to its end.
"""

import asyncio
import itertools
import os
import signal
import sys
from pathlib import Path
from typing import Any

from appliance.api.app import create_lan_app
from appliance.app import Services, open_services
from appliance.audit.log import AuditLog
from appliance.batches.store import BatchStore
from tests.api.fake import FakeInference, with_fakes

_STEPS = ("begin", "decide", "end", "keep", "keep_unanswered", "given")


def _arm(event: int) -> None:
    events = itertools.count()

    def note(*_: Any) -> None:
        if next(events) == event:
            os.kill(os.getpid(), signal.SIGKILL)

    append = AuditLog.append

    def appended(self: AuditLog, *drafts: Any) -> Any:
        note()
        future = append(self, *drafts)
        future.add_done_callback(note)
        return future

    setattr(AuditLog, "append", appended)  # noqa: B010  # a method, as in tests/routing/killed.py
    for name in _STEPS:
        setattr(BatchStore, name, _noted(getattr(BatchStore, name), note))


def _noted(method: Any, note: Any) -> Any:
    def noted(*arguments: Any, **named: Any) -> Any:
        note()
        found = method(*arguments, **named)
        note()
        return found

    return noted


async def _answer(services: Services) -> None:
    await services.jobs.serve()
    await services.batches.adopt()
    for batch in services.batches.store.live():
        live = services.jobs.live(batch.job or 0)
        if live is not None:
            await live.outcome()


def main(data: str, event: str) -> None:
    with open_services(Path(data)) as real:
        services = with_fakes(real, FakeInference(real.audit))
        create_lan_app(services)
        _arm(int(event))
        asyncio.run(_answer(services))


if __name__ == "__main__":
    main(*sys.argv[1:])
