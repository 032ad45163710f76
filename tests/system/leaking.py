"""The server with a fault: it never forgets a request that says so. For controls of memory tests.

usage: python -m tests.system.leaking serve ...
"""

import os
import runpy
from typing import Any
from unittest import mock

from appliance.serving.inference import Inference

WORD = "LEAK"
SIZE = 256 << 10  # bytes of each such request

_start = Inference.start
_kept: list[bytes] = []


async def _leaking(self: Inference, caller: Any, request: Any, backends: Any = None) -> Any:
    if WORD in (request.prompt or ""):
        _kept.append(os.urandom(SIZE))
    return await _start(self, caller, request, backends)


if __name__ == "__main__":
    with mock.patch.object(Inference, "start", _leaking):
        runpy.run_module("appliance", run_name="__main__", alter_sys=True)
