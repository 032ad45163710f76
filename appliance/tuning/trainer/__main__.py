"""The trainer: a child process that reads one base and one order, and writes to one pipe.

Order: import everything, rehearse lazy loading, drop to the lowest priority of the scheduler, drop
all rights, and only then read the first byte of the base.

usage: python -I -m appliance.tuning.trainer BASE_FD ORDER_FD OUT_FD SET_DIRECTORY GGML_BASE
"""

import os

# Before torch is imported: no thread may be there at the drop; and one that waits for another,
# which has lost its core to something more important, must not keep its own busy.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ.update(OMP_WAIT_POLICY="PASSIVE", GOMP_SPINCOUNT="0")

import hashlib
import mmap
import sys
import traceback
from pathlib import Path
from typing import Final

sys.path.append(sys.argv[4])  # after the product's own packages, which come first

import numpy as np
import torch

from appliance.engine import confine
from appliance.errors import ApplianceError
from appliance.jobs import priority
from appliance.tuning import messages
from appliance.tuning.rows import TokenRow, digest
from appliance.tuning.settings import TuneSettings
from appliance.tuning.trainer.loop import Training
from appliance.tuning.trainer.network import Network
from appliance.tuning.trainer.weights import Shape, Unpack, read, unpacker

_BROKEN: Final = 70  # EX_SOFTWARE


class Pipe:
    """The way to the job."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def send(self, message: messages.FromTrainer) -> None:
        """Write one message; without a job the process ends."""
        data = memoryview(messages.frame(message))
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            os._exit(0)


def rehearse() -> None:
    """So that nothing is imported later."""
    shape = Shape("llama", 1, 8, 2, 1, 4, 1e-5, 10_000.0, pairs=True)
    sizes = {
        "token_embd": (16, 8), "output_norm": (8,), "blk.0.attn_norm": (8,), "blk.0.ffn_norm": (8,),
        "blk.0.attn_q": (8, 8), "blk.0.attn_k": (4, 8), "blk.0.attn_v": (4, 8),
        "blk.0.attn_output": (8, 8), "blk.0.ffn_gate": (8, 8), "blk.0.ffn_up": (8, 8),
        "blk.0.ffn_down": (8, 8),
    }  # fmt: skip
    rows = (TokenRow("a", (1, 2, 3), (4, 5)), TokenRow("b", (1, 2, 6), (7, 5)))
    settings = TuneSettings(rank=2, batch=2, tokens=64, epochs=1)
    for recompute in (False, True):
        weights = {f"{k}.weight": np.ones(v, np.float32) for k, v in sizes.items()}
        network = Network(shape, weights, rank=2, alpha=4.0, recompute=recompute, seed=0)
        order = messages.TrainingOrder(settings, rows, rows, rows, 1, 0, every_s=0)
        training = Training(network, order, "", _tried)
        training.run()


def _tried(message: messages.FromTrainer) -> None:
    messages.frame(message)


def main(base: int, given: int, pipe: Pipe, unpack: Unpack) -> None:
    """The whole process."""
    with mmap.mmap(given, 0, access=mmap.ACCESS_READ) as text:
        order = messages.decode_order(text[:])
    keep = {0, 1, 2, *(int(fd) for fd in sys.argv[1:4])}
    confinement = confine.drop(order.most_bytes, keep)
    torch.set_num_threads(order.threads)
    data = mmap.mmap(base, 0, access=mmap.ACCESS_READ)
    sha256 = hashlib.sha256(data).hexdigest()
    shape, weights = read(data, unpack)
    data.close()
    pipe.send(messages.TrainerReady(sha256, digest(order.rows), confinement))
    settings = order.settings
    network = Network(
        shape,
        weights,
        rank=settings.rank,
        alpha=settings.alpha,
        recompute=settings.recompute,
        seed=settings.seed,
    )
    Training(network, order, sha256, pipe.send).run()


if __name__ == "__main__":
    base_fd, order_fd, out_fd = (int(fd) for fd in sys.argv[1:4])
    out = Pipe(out_fd)
    try:
        priority.lower()
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # all of it is written to
        torch.backends.mkldnn.enabled = False  # it writes code while it runs, which is forbidden
        rehearse()
        main(base_fd, order_fd, out, unpacker(Path(sys.argv[5])))
    except ApplianceError as error:
        out.send(messages.TrainerRefused(error.code, error.message))
    except MemoryError as error:
        out.send(
            messages.TrainerRefused("tuning_memory", f"The trainer has no memory left: {error}")
        )
    except Exception:
        traceback.print_exc()
        os._exit(_BROKEN)
    os._exit(0)
