"""The engine worker with a model that computes nothing (P6): all else is as it is, only the logits
are there already.

usage: python -I null_engine.py MODEL_FD SOCKET_FD DESCRIPTORS_FD
"""

# First, since it sets what numpy reads when it is imported.
from appliance.engine import worker  # isort: skip

import os
import sys
from collections.abc import Sequence as ReadOnly
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from appliance.engine.prefixes import Operation
from appliance.engine.runner import ModelRunner
from appliance.engine.scheduler import Chunk

_TOKEN = 1_000  # an ordinary one


class NullRunner(ModelRunner):
    """A model that always says the same; for requests that are neither scored nor echoed."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._logits = np.zeros((self.config.slots, self.n_vocab), np.float32)
        self._logits[:, _TOKEN] = 1.0
        self._masked = False

    def forward(self, chunks: ReadOnly[Chunk]) -> NDArray[np.float32]:
        """Only for the chunks that sample."""
        rows = self._logits[: sum(chunk.outputs for chunk in chunks)]
        if self._masked:  # a grammar's mask was written into a row of the last step
            self._logits[:] = 0.0
            self._logits[:, _TOKEN] = 1.0
        self._masked = any(chunk.sequence.guide for chunk in chunks)
        return rows

    def follow(self, operations: ReadOnly[Operation]) -> None:
        pass


if __name__ == "__main__":
    with mock.patch.object(worker, "ModelRunner", NullRunner):
        os._exit(worker.main(*map(int, sys.argv[1:3])))
