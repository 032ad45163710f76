"""Runs a function as a user other than the owner of given files, without a second account.

In a user namespace the child is uid 1000 (outside: root), and files of the uid `OWNER` look like
root's: it may read them, and can neither own nor write them.
"""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

OWNER = 54_321
_CLONE_NEWUSER = 0x10000000


def run(action: Callable[[], str]) -> str:
    """The function's result in the child; "unavailable: …" where there is no namespace."""
    ready_read, ready_write = os.pipe()
    go_read, go_write = os.pipe()
    answer_read, answer_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            made = ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER) == 0
            os.write(ready_write, b"y" if made else b"n")
            os.read(go_read, 1)
            text = action() if made else "unavailable: no user namespace"
        except BaseException as error:
            text = f"crashed: {error!r}"
        os.write(answer_write, text.encode()[:60_000])
        os._exit(0)
    os.close(answer_write)
    if os.read(ready_read, 1) == b"y":
        Path(f"/proc/{pid}/uid_map").write_text(f"0 {OWNER} 1\n1000 0 1\n")
    os.write(go_write, b"g")
    data = b""
    while block := os.read(answer_read, 65_536):
        data += block
    os.waitpid(pid, 0)
    for fd in (ready_read, ready_write, go_read, go_write, answer_read):
        os.close(fd)
    return data.decode()
