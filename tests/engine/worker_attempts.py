"""The attempts, made from inside the real worker once its model is loaded.

usage: python -I worker_attempts.py free|confined SOCKET_FD DESCRIPTORS_FD FACTS [CASE...]

It is the worker's own `main`, with the attempts in place of `ModelWorker.serve`; "free" leaves out
the drop, which is the control. Results go to stderr, the one descriptor that is left.
"""

import json
import os
import socket
import sys
from typing import Any

from appliance.engine import confine, worker
from tests.engine import attempts

GIVEN = ("given", "writable descriptor", "truncate it", "grow it", "punch", "seal it further")
"""Attempts on descriptors that the real worker does not have (`confine` refuses stray ones)."""


def main(mode: str, descriptors: list[int], facts: str, names: list[str]) -> None:
    model = -1
    receive = worker.receive_descriptor

    def received(descriptors: socket.socket) -> int:
        nonlocal model
        model = receive(descriptors)
        return model

    def serve(_worker: Any) -> None:
        table = attempts.cases(attempts.Facts(**json.loads(facts), model=model))
        chosen = names or [
            name
            for name in table
            if name not in attempts.DEADLY and not any(word in name for word in GIVEN)
        ]
        results = {name: attempts.attempt(table[name]) for name in chosen}
        os.write(2, json.dumps(results).encode())
        os._exit(0)

    worker.receive_descriptor = received
    worker.ModelWorker.serve = serve  # type: ignore[assignment, method-assign]
    if mode == "free":
        confine.drop = lambda *_, **__: {"profile": "none"}
    os._exit(worker.main(*descriptors))


if __name__ == "__main__":
    main(sys.argv[1], [int(fd) for fd in sys.argv[2:4]], sys.argv[4], sys.argv[5:])
