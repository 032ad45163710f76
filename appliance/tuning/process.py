"""The job's end of the trainer: start it, read what it writes, end it.

Rules: it is executed in the root directory, with an environment that hides GPUs and nothing else,
and with four descriptors: the sealed base, the order, a pipe and the error output. It is not
trusted: frames are bounded and decoded strictly. While requests run it is frozen. When the job
leaves, for whatever reason, no process is left.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

import msgspec

from appliance.errors import CODES, TuningRefused
from appliance.trust.bytes.sealed import write_all
from appliance.tuning import messages
from appliance.workers.cpu_variants import library_directory
from appliance.workers.process import Sealed

PACKAGE: Final = "torch"
_ERRORS: Final = 4_096
_LOOK_S: Final = 0.02
_ENVIRONMENT: Final = {"CUDA_VISIBLE_DEVICES": ""}
"""A torch for CUDA that sees a GPU starts a thread for it, which the confinement refuses."""

Busy = Callable[[], bool]


def check_set(directory: Path) -> None:
    """Refuse to train without the tuning set.

    Raises:
        TuningRefused: `tuning_set_missing`.
    """
    if not (directory / PACKAGE / "version.py").is_file():
        raise TuningRefused(
            "tuning_set_missing", f"There is no tuning set in {directory}: tuning needs it."
        )


@contextlib.asynccontextmanager
async def trainer(
    base: Sealed, order: messages.Order, directory: Path, busy: Busy = lambda: False
) -> AsyncIterator[AsyncIterator[messages.FromTrainer]]:
    """A trainer, and what it says until its last message.

    Args:
        directory: of the tuning set.
        busy: whether requests run, for which the trainer waits.

    Raises:
        TuningRefused: with its code when the trainer refuses; `tuning_failed` when it ends
            without a result, with its last words.
    """
    check_set(directory)
    process, out = _spawn(base, order, directory)
    freezing = asyncio.create_task(_freeze(process, busy))
    try:
        yield _messages(process, out)
    finally:
        freezing.cancel()
        process.kill()
        await asyncio.to_thread(process.wait)  # at the lowest priority its end may take seconds
        out.close()
        if process.stderr is not None:
            process.stderr.close()


async def _freeze(process: subprocess.Popen[bytes], busy: Busy) -> None:
    """Stop the process while requests run, and let it continue after them."""
    frozen = False
    while True:
        if busy() is not frozen:
            frozen = not frozen
            process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)
        await asyncio.sleep(_LOOK_S)


def _spawn(
    base: Sealed, order: messages.Order, directory: Path
) -> tuple[subprocess.Popen[bytes], "_Frames"]:
    with contextlib.ExitStack() as handed, contextlib.ExitStack() as kept:
        model = base.reopen()
        handed.callback(os.close, model)
        given = os.memfd_create("order", os.MFD_CLOEXEC)
        handed.callback(os.close, given)
        write_all(given, memoryview(messages.frame(order))[messages.HEADER.size :])
        reads, writes = os.pipe2(os.O_CLOEXEC)
        kept.callback(os.close, reads)
        handed.callback(os.close, writes)
        fds = (model, given, writes)
        library = library_directory() / "libggml-base.so"
        process = subprocess.Popen(
            [
                sys.executable, "-I", "-W", "ignore", "-m", "appliance.tuning.trainer",
                *map(str, fds), str(directory), str(library),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT,
            cwd="/",
            pass_fds=fds,
        )  # fmt: skip
        kept.pop_all()
    return process, _Frames(reads)


class _Frames:
    """The pipe, read in a thread: a frame may be as large as a checkpoint."""

    def __init__(self, fd: int) -> None:
        self._file = os.fdopen(fd, "rb", buffering=1 << 20)

    def read(self) -> bytes | None:
        """The body of the next frame; None at the end."""
        header = self._file.read(messages.HEADER.size)
        if len(header) < messages.HEADER.size:
            return None
        (size,) = messages.HEADER.unpack(header)
        if size > messages.LARGEST:
            raise msgspec.DecodeError(f"a frame of {size} bytes")
        body = self._file.read(size)
        return body if len(body) == size else None

    def close(self) -> None:
        """Close the pipe; a read that is under way has ended with the process."""
        self._file.close()


async def _messages(
    process: subprocess.Popen[bytes], out: _Frames
) -> AsyncIterator[messages.FromTrainer]:
    while True:
        try:
            body = await asyncio.to_thread(out.read)
            message = None if body is None else messages.decode_from_trainer(body)
        except msgspec.DecodeError as error:
            raise TuningRefused("tuning_failed", "The trainer broke the protocol.") from error
        if message is None:
            raise TuningRefused("tuning_failed", await asyncio.to_thread(_last_words, process))
        if isinstance(message, messages.Refused):
            code = message.code if message.code in CODES else "tuning_failed"
            raise TuningRefused(code, message.message)
        yield message
        if isinstance(message, messages.Done):
            return


def _last_words(process: subprocess.Popen[bytes]) -> str:
    errors = process.stderr.read()[-_ERRORS:] if process.stderr else b""
    status = process.wait()
    text = errors.decode("utf-8", "replace").strip()
    return f"The trainer ended with {status}: {text[-500:] or 'it said nothing'}"
