"""The C heap of a worker: the buffers that llama.cpp frees at a change of the adapter stay mapped.

Rules: all threads share one arena, since the heaps of the others are too small for blocks of more
than 32 MiB; such blocks come from the heap only once there are adapters.

Source: mallopt(3).
"""

import ctypes
from typing import Final

_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1
_LARGEST: Final = 1 << 30
"""Bytes of a block that is still taken from the heap; mallopt takes an int."""

_libc = ctypes.CDLL(None)


def share_one_arena() -> None:
    """Let all threads that start from now on use the first one's heap."""
    _libc.mallopt(_ARENA_MAX, 1)


def keep_what_is_freed() -> None:
    """Give large blocks back to the heap from now on."""
    _libc.mallopt(_MMAP_THRESHOLD, _LARGEST)
    _libc.mallopt(_TRIM_THRESHOLD, _LARGEST)
