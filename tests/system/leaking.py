"""The server with a fault: it never forgets a request that says so. For controls of memory tests.

usage: python -m tests.system.leaking serve ...
"""

import os
import runpy
from typing import Any
from unittest import mock

from appliance.serving.inference import Inference

WORD = "LEAK"
SIZE = 1 << 20
"""Bytes of each such request: four times the least that 100 requests can show in 200 MiB."""

_begin = Inference.begin
_kept: list[bytes] = []


async def _leaking(self: Inference, caller: Any, request: Any, backends: Any = None) -> Any:
    if WORD in (request.prompt or ""):
        _kept.append(os.urandom(SIZE))
    return await _begin(self, caller, request, backends)


if __name__ == "__main__":
    with mock.patch.object(Inference, "begin", _leaking):
        runpy.run_module("appliance", run_name="__main__", alter_sys=True)
