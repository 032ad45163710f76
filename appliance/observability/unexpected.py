"""Unexpected errors: exceptions that are none of ours.

Rules: the log line has the kind of the error and where it was raised, never its words, which may
hold a prompt. The client learns `internal_error` and the request id.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Final

from appliance.errors import CODES, ApplianceError
from appliance.observability.metrics import Metrics

_AGAIN_S: Final = 1.0
_logger = logging.getLogger("appliance")


def unexpected(error: BaseException, who: str) -> ApplianceError:
    """Log an exception; the error that a client may see.

    Args:
        who: the request, or the work.
    """
    frames = "".join(traceback.format_tb(error.__traceback__))
    _logger.error("%s: unexpected %s\n%s", who, type(error).__name__, frames)
    return ApplianceError("internal_error", f"{CODES['internal_error'].meaning} ({who}).")


async def kept(what: str, work: Callable[[], Awaitable[None]], metrics: Metrics) -> None:
    """Do endless work, again after each unexpected error."""
    while True:
        try:
            return await work()
        except Exception as error:
            unexpected(error, what)
            metrics.unexpected.inc()
        await asyncio.sleep(_AGAIN_S)


def alarms(metrics: Metrics) -> list[str]:
    """Describe the alarms for a person."""
    count = metrics.registry.get_sample_value("appliance_unexpected_errors_total")
    if not count:
        return []
    return [f"{count:.0f} errors since the start that nobody expected: the log has their places."]
