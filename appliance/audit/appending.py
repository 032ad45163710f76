"""Appending to the log from the event loop."""

import asyncio

from appliance.audit.log import AuditLog, Draft
from appliance.types import Receipt


async def append(audit: AuditLog, draft: Draft) -> Receipt:
    """Append one entry and wait until it is durable.

    Raises:
        AuditUnavailable: it is not, and may never be.
    """
    (receipt,) = await asyncio.shield(asyncio.wrap_future(audit.append(draft)))
    return receipt
