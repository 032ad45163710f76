"""Appending to the log from the event loop."""

import asyncio
import contextlib

from appliance.audit.log import AuditLog, Draft
from appliance.types import Receipt


async def append(audit: AuditLog, draft: Draft) -> Receipt:
    """Append one entry and wait until it is durable."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[None] = loop.create_future()
    future = audit.append(draft)  # which is recorded, whoever waits for it
    future.add_done_callback(lambda _: _wake(loop, told))
    await told
    (receipt,) = future.result()
    return receipt


def _wake(loop: asyncio.AbstractEventLoop, told: "asyncio.Future[None]") -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended, and nobody waits
        loop.call_soon_threadsafe(_tell, told)


def _tell(told: "asyncio.Future[None]") -> None:
    if not told.done():
        told.set_result(None)
