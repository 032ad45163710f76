"""Observation of every HTTP exchange: counts, metrics, and one line of the log.

Rules: a refused request, and one that runs no model, are counted for the audit log, by source and
minute; a line has ids, status, code and time, never a text of the client. An address that is no
route has the label `other`.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from appliance.audit.log import AuditLog, Draft
from appliance.auth.rejected import RejectedCounts
from appliance.errors import AuditUnavailable
from appliance.observability.metrics import Metrics
from appliance.text import visible
from appliance.types import ClientIds

_WRITE_EVERY_S: Final = 5.0
_PROBES: Final = frozenset({"/healthz", "/readyz"})
_POLLS: Final = {
    "/v1/models": "models",
    "/v1/models/{model_id:path}": "models",
    "/v1/usage": "usage",
    "/v1/batches/{batch_id}": "batches",
    "/v1/files/{file_id}": "files",
    "/tokenize": "tokens",
    "/detokenize": "tokens",
    "/tokenizer_info": "tokens",
}
_AWAY: Final = "people_unavailable"
_logger = logging.getLogger("appliance.access")


@dataclass(frozen=True)
class Observer:
    """Sees each answer when its status is known."""

    rejected: RejectedCounts
    metrics: Metrics

    def answered(self, scope: Scope, status: int, begun: float) -> None:
        """Note one answer that began at `time.monotonic`; a status in the scope replaces that of
        HTTP.
        """
        state = scope.get("state", {})
        status = state.get("status", status)
        code = state.get("error_code", "")
        principal = state.get("principal")
        key_id = principal.key_id if principal else ""
        route = getattr(scope.get("route"), "path", "other")
        self.metrics.answers.labels(route, str(status)).inc()
        if code:
            self.metrics.refusals.labels(code).inc()
        client = scope.get("client")
        source = client[0] if client else ""
        if 400 <= status < 500 or code == _AWAY:
            known = principal.known if principal else None
            person = known.fields() if known else {}
            self.rejected.note(source, code or str(status), key_id, person)
        elif polled := state.get("polled", _POLLS.get(route)):
            self.rejected.note(source, polled, key_id)
        level = _level(route, status)
        if not _logger.isEnabledFor(level):
            return
        # Not through `log`, which looks for the line of code that calls it, a costly search.
        told = scope["method"], route, status
        line = logging.LogRecord(_logger.name, level, "", 0, "%s %s %s", told, None)
        line.__dict__ |= {
            "request_id": state.get("request_id", ""),
            "key_id": key_id,
            "app": visible(principal.name, limit=200) if principal else "",
            "model": state.get("model", ""),
            "code": code,
            "status": status,
            **state.get("client", ClientIds()).fields(),
            "milliseconds": round((time.monotonic() - begun) * 1000, 1),
        }
        _logger.handle(line)

    def malformed(self, source: str, code: str) -> None:
        """Note an invalid HTTP request."""
        self.metrics.refusals.labels(code).inc()
        self.rejected.note(source, code)


def _level(route: str, status: int) -> int:
    if route in _PROBES and status != 500:
        return logging.DEBUG  # a probe asks every second and says nothing new
    if status >= 500:
        return logging.WARNING if status == 503 else logging.ERROR
    return logging.INFO


async def write_counts(
    rejected: RejectedCounts, audit: AuditLog, *, everything: bool = False
) -> None:
    """Record what is due; unrecorded counts are kept for the next time."""
    counts = rejected.take(everything=everything)
    if not counts:
        return
    drafts = [Draft("counted", count.entry()) for count in counts]
    try:
        await asyncio.shield(asyncio.wrap_future(audit.append(*drafts)))
    except AuditUnavailable:
        rejected.put_back(counts)


async def keep_writing_counts(rejected: RejectedCounts, audit: AuditLog) -> None:
    """Record the counts of each past minute, for ever."""
    while True:
        await asyncio.sleep(_WRITE_EVERY_S)
        await write_counts(rejected, audit)
