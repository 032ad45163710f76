"""The C heap of a worker: what an adapter's turn frees stays mapped for the next one.

llama.cpp frees its compute buffers at every change of the adapter and allocates new ones. glibc
maps blocks of more than 32 MiB separately and unmaps them when they are freed, so the next step
finds each page of its buffers missing: with eight answers and a vocabulary of 262,144 tokens that
is 2,250 page faults; a switch took 7.1 ms with them and takes 2.0 without.

Rules: all threads share one arena, since the heaps of the others are too small for such a block;
large blocks come from the heap only once there are adapters, and what is freed then goes to the
next switch and not to the kernel.

Source: mallopt(3).
"""

import ctypes
from typing import Final

_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1
_LARGEST: Final = 1 << 30
"""Bytes of a block that is still taken from the heap; mallopt takes an int."""

_libc = ctypes.CDLL(None)


def share_one_arena() -> None:
    """Let all threads that start from now on allocate from the heap of the first one."""
    _libc.mallopt(_ARENA_MAX, 1)


def keep_what_is_freed() -> None:
    """Give large blocks back to the heap from now on."""
    _libc.mallopt(_MMAP_THRESHOLD, _LARGEST)
    _libc.mallopt(_TRIM_THRESHOLD, _LARGEST)
