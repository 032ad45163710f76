"""The job's end of the child that quantises: start it, read its words, end it.

Rules: it has the sealed source, the order, the pipe and memory for the new file or matrix. Its
output is read within bounds. No process is left when the job leaves.
"""

import asyncio
import os
from pathlib import Path

import msgspec

from appliance.engine.importance import LARGEST
from appliance.engine.quantized import Collect, Order, Result
from appliance.errors import CODES, TuningRefused
from appliance.tuning.plan import MIB
from appliance.workers.child import OrderedChild
from appliance.workers.process import Sealed


async def collected_by_child(source: Sealed, order: Collect, variant: Path) -> dict[str, bytes]:
    """The importance matrix, by weight. Raises as `made_by_child`."""
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
    """Run the confined process; returns a descriptor of the new file, which the caller owns.

    Raises:
        TuningRefused: its code, or `quantize_failed` when it ends without a word.
    """
    out = os.memfd_create("quantized", os.MFD_CLOEXEC)
    try:
        child = _started(source, out, order, variant)
        try:
            said = await asyncio.to_thread(child.finish, MIB)
        finally:
            await asyncio.to_thread(child.end)
        if not said:
            raise TuningRefused("quantize_failed", f"The process {child.last_words()}.")
        result = msgspec.msgpack.decode(said, type=Result)
        if result.code:
            code = result.code if result.code in CODES else "quantize_failed"
            raise TuningRefused(code, result.message)
        return out, result
    except BaseException:
        os.close(out)
        raise


def _started(source: Sealed, out: int, order: Order | Collect, variant: Path) -> OrderedChild:
    model = source.reopen()
    try:
        return OrderedChild.ordered(
            "appliance.engine.quantizer",
            msgspec.msgpack.encode(order),
            variant,
            gives=(model, out),
        )
    finally:
        os.close(model)
