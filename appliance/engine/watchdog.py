"""Ends the process when a computation takes absurdly long for its size.

Rules: the kernel counts and kills (`SIGALRM`, whose default action ends the process), so that
neither a spinning loop nor a held lock of Python can keep the worker alive. The exit status shows
the server that the model is at fault and not the request.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

TOO_LONG: Final = -signal.SIGALRM
"""The exit status, as `subprocess` tells it."""
_LEAST_S: Final = 30.0
_READ: Final = 100e6  # bytes of weights in a second: the slowest disk that they are mapped from
_COMPUTED: Final = 500e6  # bytes of weights that a token passes in a second: the slowest core


def limit(tokens: int, weights: int) -> float:
    """Most seconds of a step; `weights` are bytes of the model."""
    return _LEAST_S + weights / _READ + tokens * weights / _COMPUTED


@contextmanager
def watched(seconds: float) -> Iterator[None]:
    """End the process when what is inside takes longer."""
    before = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)
