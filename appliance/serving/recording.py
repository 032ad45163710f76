"""Where intents and outcomes go: the log, with the time that each entry takes to be durable."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from appliance.audit.appending import append
from appliance.audit.log import AuditLog, Draft
from appliance.errors import ApplianceError
from appliance.observability.metrics import Metrics
from appliance.observability.unexpected import unexpected
from appliance.types import Json, Receipt


class Recording:
    """Writes the entries of requests.

    Args:
        heard: the words of each entry about the site.
    """

    def __init__(
        self, audit: AuditLog, metrics: Metrics, heard: Callable[[], dict[str, Json]] = dict
    ) -> None:
        self._audit, self._heard = audit, heard
        self.metrics = metrics
        self._mirrored: Callable[[int], Awaitable[None]] | None = None

    def hold_for(self, mirrored: Callable[[int], Awaitable[None]]) -> None:
        """Let an answer leave only once this has returned for its entry."""
        self._mirrored = mirrored

    def check(self) -> None:
        self._audit.check()

    def unexpected(self, error: BaseException, request_id: str) -> ApplianceError:
        """Log and count an unexpected error; the part that a client may know."""
        self.metrics.unexpected.inc()
        return unexpected(error, request_id)

    async def append(self, draft: Draft) -> Receipt:
        """Append an entry and wait until it is durable."""
        before = time.monotonic()
        if more := self._heard():
            draft = replace(draft, fields={**draft.fields, **more})
        receipt = await append(self._audit, draft)
        self.metrics.audit_seconds.labels(draft.kind).observe(time.monotonic() - before)
        return receipt

    async def acknowledge(self, receipt: Receipt) -> None:
        """Wait until the answer of a durable entry may leave (`mirror_unavailable`)."""
        if self._mirrored is not None:
            await self._mirrored(receipt.seq)
