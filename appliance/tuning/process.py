"""The job's end of the trainer: start it, read its messages, end it.

Rules: its environment hides GPUs and nothing else. It is not trusted: frames are bounded and
decoded strictly. While requests run it is frozen. No process is left when the job leaves.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from appliance.errors import CODES, TuningRefused
from appliance.tuning import messages
from appliance.workers.child import Child, OrderedChild
from appliance.workers.cpu_variants import library_directory
from appliance.workers.process import Sealed

PACKAGE: Final = "torch"
_LOOK_S: Final = 0.02
_ENVIRONMENT: Final = {"CUDA_VISIBLE_DEVICES": ""}
"""A torch for CUDA that sees a GPU starts a thread for it, which the confinement refuses."""

Busy = Callable[[], bool]


def check_set(directory: Path) -> None:
    """Without the set: TuningRefused (`tuning_set_missing`)."""
    if not (directory / PACKAGE / "version.py").is_file():
        raise TuningRefused(
            "tuning_set_missing", f"There is no tuning set in {directory}: tuning needs it."
        )


@contextlib.asynccontextmanager
async def trainer(
    base: Sealed, order: messages.TrainingOrder, directory: Path, busy: Busy = lambda: False
) -> AsyncIterator[AsyncIterator[messages.FromTrainer]]:
    """A trainer's messages.

    Args:
        directory: of the tuning set.
        busy: whether requests run, for which the trainer waits.

    Raises:
        TuningRefused: with its code when the trainer refuses; `tuning_failed` when it ends without
            a result, with its last words.
    """
    check_set(directory)
    child = _started(base, order, directory)
    freezing = asyncio.create_task(_freeze(child, busy))
    try:
        yield _messages(child)
    finally:
        freezing.cancel()
        child.process.kill()  # at once, however busy the threads are
        await asyncio.to_thread(child.end)


async def _freeze(child: Child, busy: Busy) -> None:
    frozen = False
    while True:
        if busy() is not frozen:
            frozen = not frozen
            child.process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)
        await asyncio.sleep(_LOOK_S)


def _started(base: Sealed, order: messages.TrainingOrder, directory: Path) -> OrderedChild:
    model = base.reopen()
    try:
        return OrderedChild.ordered(
            "appliance.tuning.trainer",
            messages.frame(order)[messages.HEADER.size :],
            directory,
            library_directory() / "libggml-base.so",
            gives=(model,),
            environment=_ENVIRONMENT,
        )
    finally:
        os.close(model)


def _frame(answer: BinaryIO) -> bytes | None:
    """May be as large as a checkpoint; None at the end."""
    header = answer.read(messages.HEADER.size)
    if len(header) < messages.HEADER.size:
        return None
    (size,) = messages.HEADER.unpack(header)
    if size > messages.LARGEST:
        raise msgspec.DecodeError(f"a frame of {size} bytes")
    body = answer.read(size)
    return body if len(body) == size else None


async def _messages(child: OrderedChild) -> AsyncIterator[messages.FromTrainer]:
    while True:
        try:
            body = await asyncio.to_thread(_frame, child.answer)
            message = None if body is None else messages.decode_from_trainer(body)
        except msgspec.DecodeError as error:
            raise TuningRefused("tuning_failed", "The trainer broke the protocol.") from error
        if message is None:
            words = await asyncio.to_thread(child.last_words)
            raise TuningRefused("tuning_failed", f"The trainer {words}")
        if isinstance(message, messages.TrainerRefused):
            code = message.code if message.code in CODES else "tuning_failed"
            raise TuningRefused(code, message.message)
        yield message
        if isinstance(message, messages.Done):
            return
