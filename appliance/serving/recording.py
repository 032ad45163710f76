"""Where intents and outcomes go: the log, with the time that each entry takes to be durable."""

import time

from appliance.audit.appending import append
from appliance.audit.log import AuditLog, Draft
from appliance.errors import ApplianceError
from appliance.observability.metrics import Metrics
from appliance.observability.unexpected import unexpected
from appliance.types import Receipt


class Recording:
    """Writes the entries of requests; `metrics` counts answers."""

    def __init__(self, audit: AuditLog, metrics: Metrics) -> None:
        self._audit = audit
        self.metrics = metrics

    def check(self) -> None:
        """Refuse a request before any work; raises as `AuditLog.check`."""
        self._audit.check()

    def unexpected(self, error: BaseException, request_id: str) -> ApplianceError:
        """Log and count an unexpected error; the part that a client may know."""
        self.metrics.unexpected.inc()
        return unexpected(error, request_id)

    async def append(self, draft: Draft) -> Receipt:
        """Append an intent or an outcome and wait until it is durable.

        Raises:
            AuditUnavailable: it is not, and may never be.
        """
        before = time.monotonic()
        receipt = await append(self._audit, draft)
        self.metrics.audit_seconds.labels(draft.kind).observe(time.monotonic() - before)
        return receipt
