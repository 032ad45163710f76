"""A stock llama.cpp server, in the environment of lock-engines.txt.

    python llama_server.py MODEL PORT SLOTS generate|embed|rerank

It prints one line once it listens, and serves until it is ended.
"""

import signal
import sys
from typing import Any

import xllamacpp  # type: ignore[import-not-found] # of an environment of its own


def main(path: str, port: int, slots: int, kind: str) -> None:
    wanted: Any = xllamacpp.CommonParams()
    wanted.model.path = path
    wanted.port = port
    wanted.hostnames = ["127.0.0.1"] if isinstance(wanted.hostnames, list) else "127.0.0.1"
    wanted.n_ctx = 512 * slots
    wanted.n_parallel = slots
    wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = 1
    wanted.use_jinja = True
    wanted.ui = False
    wanted.endpoint_metrics = True
    wanted.embedding = kind != "generate"
    if kind == "rerank":
        wanted.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
    server = xllamacpp.Server(wanted)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
