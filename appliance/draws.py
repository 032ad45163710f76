"""Random bytes of the system, taken in lumps: each call lets another thread run in between."""

import os
import threading
from typing import Final

_LUMP: Final = 1024


class _DrawnBytes(threading.local):
    rest = b""


_held: Final = _DrawnBytes()
os.register_at_fork(after_in_child=lambda: setattr(_held, "rest", b""))


def drawn(count: int) -> bytes:
    """So many random bytes, which nobody else gets; at most 1,024."""
    if len(_held.rest) < count:
        _held.rest = os.urandom(_LUMP)
    found, _held.rest = _held.rest[:count], _held.rest[count:]
    return found


def request_id() -> str:
    """A new id of a request."""
    return f"req-{drawn(16).hex()}"
