"""Limit of processor time of the thread that prepares one request.

Rules: it is checked between pieces of work, each linear in its bytes.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from appliance.errors import BadRequest

MOST_S: Final = 1.5
"""Seconds of a core; reading the body has the rest of two."""

_thread = threading.local()


@contextmanager
def bounded(seconds: float = MOST_S) -> Iterator[None]:
    """Bound what this thread spends inside; nothing is bounded outside."""
    _thread.until = time.thread_time() + seconds
    try:
        yield
    finally:
        _thread.until = None


def check() -> None:
    """Raise `request_too_large` if the time is used up."""
    until = getattr(_thread, "until", None)
    if until is not None and time.thread_time() > until:
        raise BadRequest(
            "request_too_large", "Preparing the request takes more processor time than it may."
        )
