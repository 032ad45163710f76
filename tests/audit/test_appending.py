"""Appending from the event loop: cancelling the wait does not cancel the entry."""

import asyncio
from concurrent.futures import Future
from typing import cast

import pytest

from appliance.audit.appending import append
from appliance.audit.log import AuditLog, Draft
from appliance.types import Receipt


async def test_a_caller_that_leaves_does_not_cancel_the_entry() -> None:
    future: Future[tuple[Receipt, ...]] = Future()

    class Log:
        def append(self, *_drafts: Draft) -> Future[tuple[Receipt, ...]]:
            return future

    waiting = asyncio.create_task(append(cast(AuditLog, Log()), Draft("intent", {}, {})))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not future.cancelled()
