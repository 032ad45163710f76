"""The job's end of the child that quantises: start it, read its words, end it.

Rules: it is executed with an empty environment and in the root directory, with four descriptors:
the sealed source, memory for the new file or matrix, the order and a pipe. What it wrote is read
within bounds. When the job leaves, no process is left.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.engine.importance import LARGEST
from appliance.engine.quantized import Collect, Order, Result
from appliance.errors import CODES, TuningRefused
from appliance.trust.bytes.sealed import write_all
from appliance.tuning.plan import MIB
from appliance.workers.process import Sealed


async def collected_by_child(source: Sealed, order: Collect, variant: Path) -> dict[str, bytes]:
    """The importance matrix of a model over texts, by weight.

    Raises:
        TuningRefused: as `made_by_child`.
    """
    out, _ = await made_by_child(source, order, variant)
    with os.fdopen(out, "rb") as file:
        file.seek(0)
        data = file.read(LARGEST + 1)
    try:
        if len(data) > LARGEST:
            raise msgspec.DecodeError(f"more than {LARGEST} bytes")
        return msgspec.msgpack.decode(data, type=dict[str, bytes])
    except msgspec.DecodeError as error:
        raise TuningRefused("quantize_failed", f"The importance matrix: {error}.") from error


async def made_by_child(
    source: Sealed, order: Order | Collect, variant: Path
) -> tuple[int, Result]:
    """Run the confined process; a descriptor of the new file, which is the caller's, and its words.

    Raises:
        TuningRefused: its code, or `quantize_failed` when it ends without a word.
    """
    out = os.memfd_create("quantized", os.MFD_CLOEXEC)
    try:
        process = _spawn(source, out, order, variant)
        try:
            said, errors = await asyncio.to_thread(process.finish)
        finally:
            await asyncio.to_thread(process.end)  # its priority is the lowest
        if not said:
            last = errors[-500:].decode("utf-8", "replace").strip()
            raise TuningRefused("quantize_failed", f"The process ended: {last or 'no word'}.")
        result = msgspec.msgpack.decode(said, type=Result)
        if result.code:
            code = result.code if result.code in CODES else "quantize_failed"
            raise TuningRefused(code, result.message)
        return out, result
    except BaseException:
        os.close(out)
        raise


@dataclass
class _Process:
    """The child, and the pipe that it writes to."""

    child: subprocess.Popen[bytes]
    pipe: int

    def finish(self) -> tuple[bytes, bytes]:
        """What it wrote, until its end."""
        with os.fdopen(self.pipe, "rb") as pipe:
            said = pipe.read(MIB)
        _, errors = self.child.communicate()
        return said, errors

    def end(self) -> None:
        """No process is left."""
        self.child.kill()
        self.child.wait()


def _spawn(source: Sealed, out: int, order: Order | Collect, variant: Path) -> _Process:
    with contextlib.ExitStack() as handed:
        model = source.reopen()
        handed.callback(os.close, model)
        given = os.memfd_create("order", os.MFD_CLOEXEC)
        handed.callback(os.close, given)
        write_all(given, memoryview(msgspec.msgpack.encode(order)))
        reads, writes = os.pipe2(os.O_CLOEXEC)
        handed.callback(os.close, writes)
        fds = (model, out, given, writes)
        child = subprocess.Popen(
            [
                sys.executable, "-I", "-W", "ignore", "-m", "appliance.engine.quantizer",
                *map(str, fds), str(variant),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={},
            cwd="/",
            pass_fds=fds,
        )  # fmt: skip
    return _Process(child, reads)
